import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data, io

from ldrestore.datasets.compared_pairs import centre_of, degraded
from ldrestore.datasets.paired import PairedDataConfig
from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.training.losses.validation import (
    ValidationConfig,
    ValidationPair,
    create_pairs,
    psnr_8bit,
    validate_pairs,
)


def as_it_is(lq, pair):
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


def test_they_are_those_that_figures_are_published_of(config):
    recipe = "gaussian_noise(sigma_255=25)"
    pair = create_pairs(config)[0]
    assert pair.recipe == recipe
    gt = centre_of(data.chelsea(), 64)
    assert np.array_equal(pair.gt.permute(1, 2, 0).numpy(), gt)
    assert np.array_equal(pair.lq.permute(1, 2, 0).numpy(), degraded(gt, recipe, "cat.png"))


def test_metrics_name_each_recipe(config):
    metrics = validate_pairs(as_it_is, create_pairs(config), device=torch.device("cpu"))
    assert metrics["psnr/clean"] == 100.0
    assert metrics["psnr/gaussian_noise(sigma_255=25)"] == pytest.approx(20.3, abs=1.0)
    assert metrics["psnr"] == pytest.approx((100 + metrics["psnr/gaussian_noise(sigma_255=25)"]) / 2)


def test_the_gain_is_that_over_the_input(config):
    pairs = create_pairs(config)
    metrics = validate_pairs(lambda lq, pair: pair.gt[None] / 255.0, pairs, device=torch.device("cpu"))
    assert metrics["psnr"] == 100.0
    assert metrics["gain/clean"] == 0.0
    assert metrics["gain/gaussian_noise(sigma_255=25)"] == pytest.approx(79.7, abs=1.0)
    assert metrics["gain"] == pytest.approx(metrics["gain/gaussian_noise(sigma_255=25)"] / 2)


def test_a_recipe_may_have_pictures_of_its_own(config, tmp_path):
    (tmp_path / "slices").mkdir()
    io.imsave(tmp_path / "slices/camera.png", data.camera())
    folders = {"clean": tmp_path / "slices"}
    pairs = create_pairs(dataclasses.replace(config, recipe_folders=folders, num_pictures=1))
    assert [pair.source.name for pair in pairs] == ["cat.png", "camera.png"]
    with pytest.raises(UnknownNameError, match=r"recipe of validation\.recipe_folders 'rainn'"):
        dataclasses.replace(config, recipe_folders={"rainn": tmp_path})


def test_pairs_of_files_are_validated_as_they_are(tmp_path):
    for folder, brightness in (("lq", 10), ("gt", 0)):
        (tmp_path / folder).mkdir()
        for name, picture in (("cat", data.chelsea()), ("coffee", data.coffee())):
            io.imsave(tmp_path / folder / f"{name}.png", np.minimum(picture, 200) + brightness)
    folders = PairedDataConfig(lq_folder=tmp_path / "lq", gt_folder=tmp_path / "gt", degradations=("haze",))
    pairs = create_pairs(ValidationConfig(pairs=folders, num_pictures=8, crop_size=32))
    assert [(pair.recipe, pair.source.name) for pair in pairs] == [("haze", "cat.png"), ("haze", "coffee.png")]
    expected = np.minimum(data.chelsea(), 200)[134:166, 209:241]
    assert np.array_equal(pairs[0].gt.permute(1, 2, 0).numpy(), expected)
    metrics = validate_pairs(as_it_is, pairs, device=torch.device("cpu"))
    assert metrics["psnr/haze"] == pytest.approx(28.13, abs=0.01)
    assert metrics["gain/haze"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipes": ()}, "give a folder with at least one of recipes, or pairs"),
        ({"folder": None, "recipes": ("rain",)}, "give a folder with at least one of recipes, or pairs"),
        ({"folder": None, "recipes": ()}, "give a folder with at least one of recipes, or pairs"),
        ({"pairs": PairedDataConfig(lq_folder=Path("a"), gt_folder=Path("b"))}, "and not both"),
        ({"num_pictures": 0}, "expected num_pictures >= 1"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        ValidationConfig(**{"folder": tmp_path, "recipes": ("rain",), **options})


def test_values_beyond_the_range_are_clipped_and_rounded_as_a_file_would_be() -> None:
    gt = torch.tensor([0, 255, 100, 100], dtype=torch.uint8).reshape(1, 2, 2).expand(3, -1, -1)
    pair = ValidationPair("rain", Path("a.png"), gt, gt)
    wrong = torch.tensor([-0.7, 1.9, 100.4 / 255, 99.6 / 255]).reshape(1, 1, 2, 2).expand(1, 3, -1, -1)
    metrics = validate_pairs(lambda lq, pair: wrong, [pair], device=torch.device("cpu"))
    assert metrics == {"psnr/rain": 100.0, "gain/rain": 0.0, "psnr": 100.0, "gain": 0.0}


def test_means_are_over_pictures_and_not_over_recipes() -> None:
    flat = torch.zeros(3, 4, 4, dtype=torch.uint8)
    pairs = [ValidationPair(recipe, Path("a.png"), flat + 10, flat) for recipe in ("rain", "rain", "haze")]
    levels = iter((1, 2, 4))
    metrics = validate_pairs(
        lambda lq, pair: torch.full((1, 3, 4, 4), next(levels) / 255), pairs, device=torch.device("cpu")
    )
    figures = [20 * np.log10(255 / level) for level in (1, 2, 4)]
    assert metrics["psnr/rain"] == pytest.approx(np.mean(figures[:2]))
    assert metrics["psnr/haze"] == pytest.approx(figures[2])
    assert metrics["psnr"] == pytest.approx(np.mean(figures))
    assert metrics["gain"] == pytest.approx(np.mean(figures) - 20 * np.log10(25.5))


@pytest.mark.parametrize(("option", "value"), [("severity", 0.9), ("seed", 3)])
def test_another_severity_or_seed_gives_other_pairs_of_the_same_pictures(
    config: ValidationConfig, option: str, value: float
) -> None:
    plain = dataclasses.replace(config, recipes=("rain",))
    for one, other in zip(
        create_pairs(plain), create_pairs(dataclasses.replace(plain, **{option: value})), strict=True
    ):
        assert torch.equal(one.gt, other.gt) and not torch.equal(one.lq, other.lq)


def test_pictures_that_are_smaller_than_the_crop_are_taken_whole(tmp_path: Path) -> None:
    io.imsave(tmp_path / "small.png", data.chelsea()[:21, :34])
    (pair,) = create_pairs(ValidationConfig(folder=tmp_path, recipes=("clean",), crop_size=64))
    assert pair.gt.shape == (3, 21, 34) and torch.equal(pair.lq, pair.gt)


def test_without_a_validation_there_are_no_pairs() -> None:
    assert create_pairs(None) == []
