"""Data sets that configs name."""

import numpy as np
import pytest
from skimage import io

from ldrestore.config import build
from ldrestore.datasets.domains import MultiDomainDataConfig, MultiDomainDataset
from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.synthetic import SyntheticDataConfig, SyntheticDataset
from ldrestore.errors import InputError
from ldrestore.training.data.training_data import create_dataset, trained_names


@pytest.fixture
def pictures(tmp_path):
    """A folder of two."""
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        io.imsave(tmp_path / f"{number}.png", pixels)
    return str(tmp_path)


def mixture(folder, *recipes):
    shares = [{"recipe": recipe, "weight": 1} for recipe in recipes]
    return build(SyntheticDataConfig, {"folders": [folder], "mixture": shares})


def pairs(folder, *degradations):
    return build(PairedDataConfig, {"lq_folder": folder, "gt_folder": folder, "degradations": list(degradations)})


def test_each_kind_of_config_has_its_data_set(pictures):
    domains = build(
        MultiDomainDataConfig,
        {
            "domains": [
                {"data": {"folders": [pictures], "mixture": [{"recipe": "rain", "weight": 1}]}},
                {"data": {"lq_folder": pictures, "gt_folder": pictures}},
            ]
        },
    )
    kinds = {SyntheticDataset: mixture(pictures, "rain"), PairedDataset: pairs(pictures), MultiDomainDataset: domains}
    for kind, config in kinds.items():
        dataset = create_dataset(config, patch_size=16, seed=1)
        assert isinstance(dataset, kind)
        item, again = dataset[(0, 0)], create_dataset(config, patch_size=16, seed=1)[(0, 0)]
        assert item["lq"].shape == item["gt"].shape == (3, 16, 16)
        assert (item["lq"] == again["lq"]).all()


def test_names_are_those_of_all_recipes_and_of_what_training_forms_widen(pictures):
    assert trained_names(mixture(pictures, "rain+haze", "gaussian_noise(sigma_255=25)", "haze_wide")) == {
        "rain",
        "haze",
        "gaussian_noise",
    }
    assert trained_names(pairs(pictures, "raindrop")) == {"raindrop"}
    assert trained_names(pairs(pictures)) == set()


def test_names_of_several_domains_are_those_of_each(pictures):
    values = {
        "domains": [
            {"data": {"folders": [pictures], "mixture": [{"recipe": "snow", "weight": 1}]}},
            {"data": {"lq_folder": pictures, "gt_folder": pictures, "degradations": ["low_light"]}},
        ]
    }
    assert trained_names(build(MultiDomainDataConfig, values)) == {"snow", "low_light"}


def test_a_recipe_that_nobody_knows_is_refused(pictures):
    with pytest.raises(InputError, match="rian"):
        trained_names(mixture(pictures, "rian"))
