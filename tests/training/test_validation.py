import pytest
import torch
from skimage import data, io
from torch import nn

from ldrestore.errors import ConfigError
from ldrestore.training.validation import ValidationConfig, create_pairs, psnr_8bit, validate_pairs


class Identity(nn.Module):
    """Returns its input; its parameter tells the device."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, lq):
        return lq


@pytest.fixture
def config(tmp_path):
    io.imsave(tmp_path / "cat.png", data.chelsea())
    io.imsave(tmp_path / "coffee.png", data.coffee())
    recipes = ("gaussian_noise(sigma_255=25)", "clean")
    return ValidationConfig(folder=tmp_path, recipes=recipes, num_pictures=2, crop_size=64)


def test_psnr_follows_its_definition():
    gt = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    assert psnr_8bit(gt + 1, gt) == pytest.approx(48.1308, abs=1e-4)
    assert psnr_8bit(gt, gt) == 100.0


def test_pairs_are_the_same_each_time(config):
    pairs, again = create_pairs(config), create_pairs(config)
    assert [pair.lq.shape for pair in pairs] == [(3, 64, 64)] * 4
    assert all(torch.equal(one.lq, other.lq) for one, other in zip(pairs, again, strict=True))


def test_metrics_name_each_recipe(config):
    metrics = validate_pairs(Identity(), create_pairs(config))
    assert metrics["psnr/clean"] == 100.0
    assert metrics["psnr/gaussian_noise(sigma_255=25)"] == pytest.approx(20.3, abs=1.0)
    assert metrics["psnr"] == pytest.approx((100 + metrics["psnr/gaussian_noise(sigma_255=25)"]) / 2)


def test_values_out_of_range_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="validation: expected at least one recipe"):
        ValidationConfig(folder=tmp_path, recipes=())
