import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ldrestore.datasets.synthetic import RecipeShare, SyntheticDataConfig, SyntheticDataset
from ldrestore.errors import ConfigError, UnknownNameError


def dataset(folder, *, recipe="gaussian_noise(sigma_255=25)", seed=0, patch_size=32, **options):
    config = SyntheticDataConfig(folders=(folder,), mixture=(RecipeShare(recipe=recipe, weight=1.0),), **options)
    return SyntheticDataset(config, patch_size=patch_size, seed=seed)


def test_items_are_a_pure_function_of_seed_epoch_and_index(clean_folder):
    first, second = dataset(clean_folder), dataset(clean_folder)
    for key in ((0, 1), (3, 1), 2):
        assert torch.equal(first[key]["lq"], second[key]["lq"])
        assert torch.equal(first[key]["gt"], second[key]["gt"])
    assert torch.equal(first[1]["lq"], first[(0, 1)]["lq"])
    assert not torch.equal(first[(0, 1)]["lq"], first[(1, 1)]["lq"])
    assert not torch.equal(first[(0, 1)]["lq"], dataset(clean_folder, seed=1)[(0, 1)]["lq"])


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_workers_changes_nothing(clean_folder, num_workers):
    data = dataset(clean_folder)
    keys = [(epoch, index) for epoch in range(2) for index in range(3)]
    alone = [data[key]["lq"] for key in keys]
    loader = DataLoader(data, batch_size=2, sampler=keys, num_workers=num_workers)
    assert torch.equal(torch.cat([batch["lq"] for batch in loader]), torch.stack(alone))


def test_pairs_are_patches_in_range_with_lq_rounded_to_8_bits(clean_folder):
    item = dataset(clean_folder)[0]
    assert item["lq"].shape == item["gt"].shape == (3, 32, 32)
    assert item["lq"].min() >= 0
    assert item["lq"].max() <= 1
    levels = item["lq"] * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert 0.05 < (item["lq"] - item["gt"]).std() < 0.15
    assert item["name"] == "a.png"


def test_clean_pictures_are_drawn_by_their_weight(clean_folder):
    data = dataset(clean_folder, clean_weight=1.0)
    share = np.mean([torch.equal(item["lq"], item["gt"]) for item in (data[(epoch, 0)] for epoch in range(60))])
    assert 0.3 < share < 0.7


def test_memory_and_disk_give_the_same_items(clean_folder):
    assert torch.equal(dataset(clean_folder, in_memory=True)[(2, 1)]["lq"], dataset(clean_folder)[(2, 1)]["lq"])


def test_pictures_smaller_than_a_patch_are_enlarged(clean_folder):
    assert dataset(clean_folder, patch_size=128)[0]["gt"].shape == (3, 128, 128)


def test_unshrunk_crops_are_pixels_of_the_picture(clean_folder):
    data = dataset(clean_folder, min_scale=1.0)
    picture = np.asarray(data._clean_crop(0, np.random.default_rng(0)))
    assert picture.shape == (64, 64, 3)


def test_wrong_configurations_are_refused(clean_folder, tmp_path):
    with pytest.raises(ConfigError, match="no folder of pictures"):
        dataset(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no pictures below"):
        dataset(tmp_path / "empty")
    with pytest.raises(UnknownNameError, match="did you mean 'rain'"):
        dataset(clean_folder, recipe="rian")
    with pytest.raises(ConfigError, match="weight > 0"):
        RecipeShare(recipe="rain", weight=0.0)
    with pytest.raises(ConfigError, match="min_scale"):
        dataset(clean_folder, min_scale=0.0)
