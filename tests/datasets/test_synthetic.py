from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ldrestore.datasets.intact import DarkeningConfig, IntactConfig, IntactShares
from ldrestore.datasets.random_chain import RandomChainConfig
from ldrestore.datasets.synthetic import (
    MARGIN,
    RandomMixtureConfig,
    RecipeShare,
    ResampleConfig,
    SyntheticDataConfig,
    SyntheticDataset,
    degraded_pair,
    draw_mixture,
    labels_of,
    severities_of,
    spread,
)
from ldrestore.degradations.recipes import in_physical_order, list_degradations, parse_recipe
from ldrestore.errors import ConfigError, DatasetError, UnknownNameError


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
    picture = np.asarray(data._clean_crop(0, side=64, generator=np.random.default_rng(0)))
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


def test_labels_say_what_was_done_and_how_far():
    names = list_degradations()
    labels = labels_of(parse_recipe("rain(severity=0.15)+jpeg(quality=90)+haze"), severity=0.9)
    labelled = {name: float(label) for name, label in zip(names, labels, strict=True) if label > 0}
    assert labelled == {"rain": 0.5, "jpeg": 1.0, "haze": 1.0}
    assert not labels_of(None, severity=0.0).any()


def test_training_forms_count_as_the_degradation_that_they_widen(clean_folder):
    names = list_degradations()
    labels = labels_of(parse_recipe("rain_wide(severity=0.15)+haze_wide(severity=0.6)"), severity=0.0)
    assert {name: float(label) for name, label in zip(names, labels, strict=True) if label > 0} == {
        "rain": 0.5,
        "haze": 1.0,
    }
    mixture = RandomMixtureConfig(weight=1.0, names=("haze_wide", "haze", "rain_wide", "jpeg"))
    data = dataset(clean_folder, recipe="haze_wide", random_mixture=mixture)
    assert all(data[(epoch, 0)]["degradations"].count_nonzero() in (1, 2, 3) for epoch in range(8))


def test_items_carry_their_labels(clean_folder):
    labels = dataset(clean_folder, recipe="rain+gaussian_noise(sigma_255=25)")[0]["degradations"]
    assert labels.dtype == torch.float32
    assert labels[list_degradations().index("gaussian_noise")] == 1


def test_random_mixtures_have_different_kinds_in_physical_order():
    names = ("jpeg", "gaussian_noise", "real_noise", "motion_blur", "rain", "haze", "low_light")
    order = ("rain", "haze", "motion_blur", "low_light", "gaussian_noise", "real_noise", "jpeg")
    config = RandomMixtureConfig(weight=1.0, names=names, max_steps=3, severity=(0.2, 0.4))
    counts = set()
    for seed in range(60):
        steps = draw_mixture(config, np.random.default_rng(seed)).steps
        drawn = [step.name for step in steps]
        counts.add(len(drawn))
        assert drawn == in_physical_order(drawn) and len(set(drawn)) == len(drawn)
        assert drawn == [name for name in order if name in drawn]
        assert not {"gaussian_noise", "real_noise"} <= set(drawn)
        assert all(0.2 <= dict(step.parameters)["severity"] <= 0.4 for step in steps)
    assert counts == {2, 3}


def test_random_mixtures_are_drawn_by_their_weight(clean_folder):
    mixture = RandomMixtureConfig(weight=1.0, names=("rain", "gaussian_noise", "jpeg"))
    data = dataset(clean_folder, recipe="poisson_noise", random_mixture=mixture)
    share = np.mean([(data[(epoch, 0)]["degradations"] > 0).sum() >= 2 for epoch in range(60)])
    assert 0.3 < share < 0.7


def test_resampled_noise_is_alike_in_neighbouring_pixels(clean_folder):
    shrunk = dataset(clean_folder, resample=ResampleConfig(probability=1.0, scale=(0.7, 0.7)))[0]
    plain = dataset(clean_folder)[0]
    assert shrunk["lq"].shape == plain["lq"].shape

    def correlation(item):
        noise = (item["lq"] - item["gt"]).flatten(1)
        return torch.corrcoef(torch.stack([noise[:, :-1].flatten(), noise[:, 1:].flatten()]))[0, 1]

    assert abs(correlation(plain)) < 0.05 < 0.1 < correlation(shrunk)


def test_jpeg_comes_after_the_resizing(clean_folder):
    """Within a block of 8 x 8 a picture of quality 1 hardly changes, at the edges of the blocks it does."""
    options = {"recipe": "gaussian_noise(sigma_255=10)+jpeg(quality=1)", "patch_size": 48}
    lq = dataset(clean_folder, resample=ResampleConfig(probability=1.0, scale=(0.7, 0.7)), **options)[0]["lq"]
    steps = lq.diff(dim=2).abs().mean(dim=(0, 1))  # MARGIN is a multiple of 8: edges lie at 8, 16, ...
    assert steps[7::8].mean() > 2 * np.delete(steps.numpy(), np.s_[7::8]).mean()


def test_a_step_after_the_file_stays_after_it(clean_folder):
    data = dataset(clean_folder, recipe="jpeg(quality=10)+gaussian_noise(sigma_255=25)")
    item = data[0]
    assert 0.05 < (item["lq"] - item["gt"]).std() < 0.15
    assert item["degradations"].count_nonzero() == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomMixtureConfig(weight=0, names=("rain", "haze", "jpeg")), "weight > 0"),
        (lambda: RandomMixtureConfig(weight=1, names=("gaussian_noise", "real_noise", "jpeg")), "3 steps need"),
        (lambda: ResampleConfig(probability=2), "probability in"),
        (lambda: ResampleConfig(probability=0.5, scale=(0.1, 1)), "0.25 <= scale <= 1"),
    ],
)
def test_wrong_mixtures_and_scales_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_few_pictures_are_taken_from_all_over_the_list(clean_folder):
    data = dataset(clean_folder, max_pictures=2, in_memory=True)
    assert [path.name for path in data.paths] == ["a.png", "b.png"] and len(data) == 2
    assert [data.source_path(index) for index in range(2)] == data.paths
    assert data[1]["name"] == "b.png"
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert len(dataset(clean_folder, max_pictures=9)) == len(dataset(clean_folder)) == 3
    with pytest.raises(ConfigError, match="max_pictures must be at least 1, got 0"):
        dataset(clean_folder, max_pictures=0)


def test_swapped_channels_are_those_of_the_picture_in_another_order(clean_folder):
    plain, swapped = dataset(clean_folder), dataset(clean_folder, swap_channels=1.0)
    orders = set()
    for epoch in range(12):
        before, after = plain[(epoch, 0)]["gt"], swapped[(epoch, 0)]["gt"]
        order = [next(j for j in range(3) if torch.equal(after[i], before[j])) for i in range(3)]
        assert sorted(order) == [0, 1, 2]
        orders.add(tuple(order))
    assert len(orders) > 2
    with pytest.raises(ConfigError, match="swap_channels must lie in"):
        dataset(clean_folder, swap_channels=1.5)


def test_swapping_that_does_not_happen_leaves_the_crop_as_it_is(clean_folder):
    plain, rare = dataset(clean_folder), dataset(clean_folder, swap_channels=1e-9)
    assert torch.equal(rare[2]["gt"], plain[2]["gt"])  # the draw comes after those of the crop


def test_intact_pictures_are_left_alone_and_carry_no_label(clean_folder):
    data = dataset(clean_folder, intact=IntactConfig(weight=1e9))
    for epoch in range(6):
        item, plain = data[(epoch, 0)], dataset(clean_folder)[(epoch, 0)]
        assert torch.equal(item["lq"], item["gt"]) and not item["degradations"].any()
        assert not torch.equal(item["gt"], plain["gt"])


def test_intact_pictures_lie_under_damage_but_not_under_darkness(clean_folder):
    intact = IntactConfig(under_damage=1.0, shares=IntactShares(night=0, grain=0, silhouette=0, drawing=0, screen=0))
    bright, dark = dataset(clean_folder)[0], dataset(clean_folder, intact=intact)[0]
    assert dark["gt"].mean() < 0.9 * bright["gt"].mean()
    assert not torch.equal(dark["lq"], dark["gt"])
    for recipe in ("low_light", "low_light_wide+jpeg"):
        plain = dataset(clean_folder, recipe=recipe)[0]
        assert torch.equal(dataset(clean_folder, recipe=recipe, intact=intact)[0]["gt"], plain["gt"])


def test_darkening_comes_before_the_damage_of_the_named(clean_folder):
    darkening = DarkeningConfig(probability=1.0, gamma=(2.0, 2.0), names=("haze",))
    plain, darker = (dataset(clean_folder, recipe="haze_wide", darkening=option)[0] for option in (None, darkening))
    assert torch.allclose(darker["gt"], plain["gt"] ** 2, atol=0.003)
    assert darker["lq"].mean() < plain["lq"].mean()
    assert torch.equal(dataset(clean_folder, darkening=darkening)[0]["gt"], dataset(clean_folder)[0]["gt"])


def test_chains_are_drawn_by_their_weight(clean_folder):
    chain = RandomChainConfig(weight=1.0, names=("jpeg", "rain_wide"), num_steps=(2, 3), severity=(0.4, 0.5))
    data = dataset(clean_folder, recipe="poisson_noise", random_chain=chain)
    share = np.mean([(data[(epoch, 0)]["degradations"] > 0).sum() == 2 for epoch in range(60)])
    assert 0.3 < share < 0.7


def test_options_that_are_off_shift_no_draws(clean_folder):
    """Weights of nothing and shares of nothing draw nothing: old configs give the pairs that they gave."""
    off = {"intact": IntactConfig(), "darkening": DarkeningConfig(probability=1.0, names=("haze",))}
    assert torch.equal(dataset(clean_folder, **off)[(2, 1)]["lq"], dataset(clean_folder)[(2, 1)]["lq"])


def test_an_unreadable_picture_is_named_before_the_first_item(clean_folder: Path) -> None:
    (clean_folder / "broken.png").write_bytes(b"no picture")
    (clean_folder / ".hidden.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"broken\.png: .*take it out of the folder$"):
        dataset(clean_folder)


@pytest.mark.parametrize("recipe", ["rain+gaussian_noise", "haze_wide+jpeg"])
def test_one_degradation_that_may_stay_is_in_both_pictures_with_the_same_draws(clean_folder: Path, recipe: str) -> None:
    kept = recipe.partition("+")[0]
    drawn = [dataset(clean_folder, recipe=recipe).draw((1, 2)) for _ in range(3)]
    (lq, gt), (lq_alone, gt_alone) = (
        degraded_pair(one, side=64, strengths=strengths)
        for one, strengths in zip(drawn, ({}, {kept: 0.0}), strict=False)
    )
    assert np.array_equal(lq, lq_alone)
    assert np.array_equal(gt, drawn[2].clean) and not np.array_equal(gt_alone, gt)
    half = degraded_pair(drawn[2], side=64, strengths={kept: 0.5})[1]
    assert np.abs(half - (gt + gt_alone) / 2).max() < 1e-5


def test_nothing_is_taken_away_where_all_strengths_are_0(clean_folder: Path) -> None:
    drawn = dataset(clean_folder, recipe="rain+low_light+jpeg").draw(0)
    lq, gt = degraded_pair(drawn, side=64, strengths={"rain": 0.0, "low_light": 0.0, "jpeg": 0.0})
    assert np.abs(lq - gt).max() <= 0.5 / 255 + 1e-6


def test_blur_brings_in_what_lies_beyond_the_crop(clean_folder: Path) -> None:
    """The part is that of a larger degraded picture: near its border it looks as inside, without a reflection."""
    data = dataset(clean_folder, recipe="gaussian_blur(sigma=3)", patch_size=24)
    drawn, item = data.draw(0), data[0]
    around, _ = degraded_pair(drawn, side=data.side)
    assert data.side == 24 + 2 * MARGIN
    assert np.array_equal(item["lq"].permute(1, 2, 0), around[MARGIN:-MARGIN, MARGIN:-MARGIN])
    alone = cv2.GaussianBlur(item["gt"].permute(1, 2, 0).numpy(), (0, 0), 3)
    gaps = np.abs(item["lq"].permute(1, 2, 0).numpy() - alone).mean(axis=2)
    assert gaps[[0, -1]].mean() > 2 * gaps[10:14, 10:14].mean()


@pytest.mark.parametrize(
    ("recipe", "severity", "expected"),
    [
        ("rain+rain(severity=0.2)", 0.7, {"rain": 0.7}),
        ("rain(severity=0.9)+rain_wide", 0.2, {"rain": 0.9}),
        ("jpeg(quality=90)+jpeg", 0.1, {"jpeg": 1.0}),
        ("cdd11/low_haze", 0.4, {"haze": 0.4, "low_light": 0.4}),
        ("rain(severity=0)", 0.7, {}),
        ("haze(severity=0.3, beta=0.1)", 0.7, {"haze": 1.0}),
    ],
)
def test_the_strongest_step_of_a_degradation_is_its_severity(recipe: str, severity: float, expected: dict) -> None:
    severities = severities_of(parse_recipe(recipe), severity=severity)
    named = {name: float(value) for name, value in zip(list_degradations(), severities, strict=True) if value}
    assert named == pytest.approx(expected)


def test_severities_come_with_the_items_that_are_asked_for_them(clean_folder: Path) -> None:
    share = RecipeShare(recipe="haze", weight=1.0, severity=(0.15, 0.15))
    config = SyntheticDataConfig(folders=(clean_folder,), mixture=(share,))
    item = SyntheticDataset(config, patch_size=16, seed=0, tells_severities=True)[0]
    place = list_degradations().index("haze")
    assert item["severities"][place] == pytest.approx(0.15) and item["degradations"][place] == pytest.approx(0.5)
    assert item["severities"].count_nonzero() == 1
    assert "severities" not in SyntheticDataset(config, patch_size=16, seed=0)[0]


def test_recipes_are_drawn_in_proportion_to_their_weights(clean_folder: Path) -> None:
    shares = tuple(RecipeShare(recipe=name, weight=weight) for name, weight in (("rain", 3.0), ("haze", 1.0)))
    data = SyntheticDataset(SyntheticDataConfig(folders=(clean_folder,), mixture=shares), patch_size=16, seed=0)
    names = [data.draw((epoch, 0)).recipe for epoch in range(200)]
    assert 0.65 < np.mean([str(name) == "rain" for name in names]) < 0.85
    assert {str(name) for name in names} == {"rain", "haze"}


def test_severities_fill_their_range_evenly(clean_folder: Path) -> None:
    share = RecipeShare(recipe="jpeg", weight=1.0, severity=(0.2, 0.6))
    data = SyntheticDataset(SyntheticDataConfig(folders=(clean_folder,), mixture=(share,)), patch_size=16, seed=0)
    drawn = [data.draw((epoch, 1)).severity for epoch in range(120)]
    assert 0.2 <= min(drawn) < 0.22 and 0.58 < max(drawn) <= 0.6
    assert np.mean(drawn) == pytest.approx(0.4, abs=0.03)
