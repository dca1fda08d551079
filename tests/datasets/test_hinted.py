import numpy as np
import pytest
import torch

from ldrestore.datasets.hinted import HintConfig, HintedDataConfig, HintedDataset, hints_of
from ldrestore.datasets.synthetic import RecipeShare, SyntheticDataConfig
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError

NAMES = list_degradations()


def dataset(folder, *, recipe="haze(beta=0.8)", seed=0, patch_size=16, **hints):
    pictures = SyntheticDataConfig(folders=(folder,), mixture=(RecipeShare(recipe=recipe, weight=1.0),))
    config = HintedDataConfig(pictures=pictures, whole_size=32, reduced_size=16, hints=HintConfig(**hints))
    return HintedDataset(config, patch_size=patch_size, seed=seed)


def named(item):
    """Strength of each degradation that is named."""
    known, strengths = item["hints"].chunk(2)
    return {name: float(strengths[i]) for i, name in enumerate(NAMES) if known[i]}


ALWAYS = {"probability": 1.0, "present": 1.0, "absent": 0.0}


def test_items_are_a_pure_function_of_seed_epoch_and_index(clean_folder):
    first, second = dataset(clean_folder), dataset(clean_folder)
    for name, value in first[(2, 1)].items():
        assert np.array_equal(value, second[(2, 1)][name])


def test_a_part_lies_where_its_window_says(clean_folder):
    data = dataset(clean_folder, recipe="gaussian_noise(sigma_255=0)", probability=0.0)
    part, whole = data[(1, 0)], dataset(clean_folder, recipe="gaussian_noise(sigma_255=0)", patch_size=32)[(1, 0)]
    top, left, bottom, right = (part["window"] * 32).round().int().tolist()
    assert (bottom - top, right - left) == (16, 16) and top % 2 == left % 2 == 0
    assert torch.equal(part["lq"], whole["lq"][:, top:bottom, left:right])


def test_the_reduced_copy_is_of_the_whole_degraded_picture(clean_folder):
    item = dataset(clean_folder, patch_size=32)[0]
    assert item["whole"].shape == (3, 16, 16)
    torch.testing.assert_close(item["whole"], torch.nn.functional.avg_pool2d(item["lq"], 2), atol=1e-6, rtol=1e-5)


def test_without_hints_all_damage_is_to_be_taken_away(clean_folder):
    item = dataset(clean_folder, probability=0.0)[0]
    assert named(item) == {}
    assert (item["lq"] - item["gt"]).abs().mean() > 0.02


def test_what_is_named_with_strength_0_stays(clean_folder):
    item = dataset(clean_folder, **ALWAYS, strengths=(0.0, 1.0))[0]
    assert named(item)["haze"] == 0
    assert (item["lq"] - item["gt"]).abs().max() <= 0.5 / 255 + 1e-6


def test_of_two_the_one_that_is_named_stays_with_the_same_random_numbers(clean_folder):
    recipe = "haze(beta=0.8)+gaussian_noise(sigma_255=20)"
    item = dataset(clean_folder, recipe=recipe, **ALWAYS, strengths=(0.0, 1.0))[0]
    assert (item["lq"] - item["gt"]).abs().max() <= 0.5 / 255 + 1e-6


def test_a_strength_between_leaves_a_part(clean_folder):
    whole = dataset(clean_folder, probability=0.0)[0]
    item = dataset(clean_folder, **ALWAYS, strengths=(0.0, 0.0))[0]
    assert 0 < named(item)["haze"] < 1
    left = (item["lq"] - item["gt"]).abs().mean() / (whole["lq"] - whole["gt"]).abs().mean()
    assert left == pytest.approx(named(item)["haze"], abs=0.25)


def test_what_is_not_to_be_removed_stays_whatever_the_hints_say(clean_folder):
    pictures = SyntheticDataConfig(
        folders=(clean_folder,), mixture=(RecipeShare(recipe="rain(severity=0.8)+haze(beta=0.8)", weight=1.0),)
    )

    def item(removed):
        config = HintedDataConfig(
            pictures=pictures, whole_size=32, reduced_size=16, hints=HintConfig(probability=0.0), removed=removed
        )
        return HintedDataset(config, patch_size=16, seed=0)[0]

    everything, haze_alone, nothing = item(None), item(("haze",)), item(())
    assert torch.equal(everything["lq"], haze_alone["lq"])
    assert (haze_alone["gt"] - everything["gt"]).abs().mean() > 0.005  # the rain is left
    assert (haze_alone["gt"] - haze_alone["lq"]).abs().mean() > 0.02  # the haze is not
    assert (nothing["gt"] - nothing["lq"]).abs().max() <= 0.5 / 255 + 1e-6


def test_darkness_that_a_picture_cannot_show_is_always_named(clean_folder):
    faint = dataset(clean_folder, recipe="low_light(stops=0.3)", probability=0.0)[0]
    assert named(faint) == {"low_light": 1.0}
    sure = dataset(clean_folder, recipe="low_light(stops=7)", probability=0.0)[0]
    assert named(sure) == {}


def test_a_picture_meant_to_be_very_dark_is_named_so(clean_folder):
    item = dataset(clean_folder, recipe="gaussian_noise(sigma_255=0)", probability=0.0, sure_darkness=1.0)[0]
    assert named(item) == {"low_light": 0.0}


def test_haze_without_light_in_it_is_always_named(clean_folder):
    item = dataset(clean_folder, recipe="haze(beta=0.05)", probability=0.0, sure_light=1.0)[0]
    assert named(item) == {"haze": 1.0}
    assert named(dataset(clean_folder, recipe="haze(beta=0.05)", probability=0.0)[0]) == {}


def test_some_name_everything_and_most_of_it_with_strength_0(clean_folder):
    data = dataset(clean_folder, probability=1.0, absent=0.0, talkative=1.0)
    pictures = [named(data[(epoch, 0)]) for epoch in range(40)]
    assert max(map(len, pictures)) >= len(NAMES) - 1
    assert min(map(len, pictures)) <= len(NAMES) // 2
    ruled_out = [strength == 0 for picture in pictures for name, strength in picture.items() if name != "haze"]
    assert 0.75 < np.mean(ruled_out) < 0.98
    assert max(len(named(dataset(clean_folder, probability=1.0)[(epoch, 0)])) for epoch in range(40)) < len(NAMES) // 2


def test_hints_are_flags_then_strengths():
    hints = hints_of({"rain": 0.3})
    assert hints.shape == (2 * len(NAMES),)
    assert hints[NAMES.index("rain")] == 1
    assert hints[len(NAMES) + NAMES.index("rain")] == np.float32(0.3)


def test_wrong_configs_are_refused(clean_folder):
    with pytest.raises(ConfigError, match="expected shares in"):
        HintConfig(strengths=(0.8, 0.4))
    with pytest.raises(ConfigError, match="reduced_size <= whole_size, got 64 and 32"):
        HintedDataConfig(
            pictures=SyntheticDataConfig(folders=(clean_folder,), mixture=(RecipeShare(recipe="haze", weight=1.0),)),
            whole_size=32,
            reduced_size=64,
        )
    with pytest.raises(ConfigError, match=r"unknown names \['fog'\]"):
        HintedDataConfig(
            pictures=SyntheticDataConfig(folders=(clean_folder,), mixture=(RecipeShare(recipe="haze", weight=1.0),)),
            removed=("fog",),
        )
    with pytest.raises(ConfigError, match="patch_size must be at most whole_size, 32, got 48"):
        dataset(clean_folder, patch_size=48)
