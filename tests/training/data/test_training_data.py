"""Data sets that configs name."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import io
from torch.utils.data import Dataset

from ldrestore.config import build
from ldrestore.datasets.domains import MultiDomainDataConfig, MultiDomainDataset
from ldrestore.datasets.hinted import HintedDataConfig, HintedDataset
from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.synthetic import SyntheticDataConfig, SyntheticDataset
from ldrestore.degradations.recipes import list_degradations
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


def made(folder: str, **options: object) -> SyntheticDataset:
    """Small crops of untouched size."""
    values = {"folders": [folder], "min_scale": 1.0, **options}
    return create_dataset(build(SyntheticDataConfig, values), patch_size=8, seed=3)


def shares(dataset: Dataset, *, num: int = 240) -> dict[tuple[str, ...], float]:
    """How often each combination of degradations is there."""
    known = list_degradations()
    labels = [dataset[(epoch, 0)]["degradations"] for epoch in range(num)]
    counts = Counter(tuple(known[place] for place in label.nonzero().flatten().tolist()) for label in labels)
    return {names: count / num for names, count in counts.items()}


def test_recipes_come_as_often_as_their_weights_say(pictures: str) -> None:
    mixture = [
        {"recipe": "gaussian_noise(sigma_255=20)", "weight": 6},
        {"recipe": "poisson_noise", "weight": 3},
        {"recipe": "low_light+gaussian_noise", "weight": 1},
    ]
    found = shares(made(pictures, mixture=mixture, clean_weight=2), num=400)
    expected = {("gaussian_noise",): 6, ("poisson_noise",): 3, ("low_light", "gaussian_noise"): 1, (): 2}
    by_set = {frozenset(names): share for names, share in found.items()}
    assert by_set.keys() == {frozenset(names) for names in expected}
    for names, weight in expected.items():
        assert by_set[frozenset(names)] == pytest.approx(weight / 12, abs=0.06)


def test_chains_and_mixtures_stand_beside_the_recipes_by_their_weights(pictures: str) -> None:
    drawn = {"weight": 2, "names": ["gaussian_noise", "low_light", "colour_cast"]}
    known = set(list_degradations())
    drawn["names"] = [name for name in drawn["names"] if name in known] or ["gaussian_noise", "low_light"]
    dataset = made(
        pictures,
        mixture=[{"recipe": "poisson_noise", "weight": 1}],
        random_mixture={**drawn, "max_steps": 2},
        random_chain={"weight": 1, "names": ["jpeg"], "num_steps": [2, 3]},
        intact={"weight": 1},
    )
    found = shares(dataset, num=300)
    assert found.pop(("poisson_noise",)) == pytest.approx(0.2, abs=0.08)
    assert found.pop(("jpeg",)) == pytest.approx(0.2, abs=0.08)
    assert found.pop(()) == pytest.approx(0.2, abs=0.08)
    assert all(len(names) == 2 and set(names) <= set(drawn["names"]) for names in found)
    assert sum(found.values()) == pytest.approx(0.4, abs=0.1)


def test_intact_pictures_come_back_as_they_are(pictures: str) -> None:
    dataset = made(pictures, mixture=[{"recipe": "gaussian_noise", "weight": 1}], intact={"weight": 1e6})
    items = [dataset[(epoch, 0)] for epoch in range(6)]
    assert all(torch.equal(item["lq"], item["gt"]) and not item["degradations"].any() for item in items)


@pytest.mark.parametrize(("probability", "spread"), [(0.0, 0.29), (1.0, 0.145)])
def test_resampled_pairs_are_shrunk_on_both_sides(tmp_path: Path, probability: float, spread: float) -> None:
    """Of even random numbers, and of means of four of these."""
    pixels = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    io.imsave(tmp_path / "noise.png", pixels)
    resample = {"probability": probability, "scale": [0.5, 0.5]}
    dataset = made(str(tmp_path), mixture=[{"recipe": "gaussian_noise(sigma_255=0)", "weight": 1}], resample=resample)
    items = [dataset[(epoch, 0)] for epoch in range(8)]
    assert np.mean([item["gt"].std().item() for item in items]) == pytest.approx(spread, abs=0.02)
    assert all((item["lq"] - item["gt"]).abs().max() <= 0.5 / 255 + 1e-6 for item in items)


def hinted(folder: str, recipe: str = "haze(beta=0.8)", **hints: object) -> HintedDataset:
    """Parts of 8 pixels of wholes of 16."""
    values = {
        "pictures": {"folders": [folder], "mixture": [{"recipe": recipe, "weight": 1}], "min_scale": 1.0},
        "whole_size": 16,
        "reduced_size": 8,
        "hints": hints,
    }
    return create_dataset(build(HintedDataConfig, values), patch_size=8, seed=0)


def strengths_in(item: dict[str, torch.Tensor]) -> dict[str, float]:
    """Strength of each degradation that is named."""
    flags, strengths = item["hints"].chunk(2)
    return {name: float(strengths[place]) for place, name in enumerate(list_degradations()) if flags[place]}


def test_hints_come_as_often_as_the_config_says(pictures: str) -> None:
    dataset = hinted(pictures, probability=0.5, present=0.6, absent=0.1, strengths=(0.5, 0.5))
    items = [strengths_in(dataset[(epoch, 0)]) for epoch in range(160)]
    sure = [item for item in items if set(item) - {"low_light"}]  # darkness may be named as a doubt
    of_haze = [item["haze"] for item in items if "haze" in item]
    assert len(of_haze) / 160 == pytest.approx(0.5 * 0.6, abs=0.1)
    assert np.mean(of_haze) == pytest.approx(0.5, abs=0.15) and set(of_haze) == {0.0, 1.0}
    others = [name for item in items for name in item if name not in ("haze", "low_light")]
    assert len(others) / (160 * (len(list_degradations()) - 2)) == pytest.approx(0.5 * 0.1, abs=0.02)
    assert len(sure) < 0.7 * 160


def test_of_the_talkative_most_is_ruled_out(pictures: str) -> None:
    quiet, talkative = (
        [
            strengths_in(hinted(pictures, probability=1.0, absent=0.02, talkative=share)[(epoch, 0)])
            for epoch in range(60)
        ]
        for share in (0.0, 1.0)
    )
    assert np.mean([len(item) for item in talkative]) > 4 * np.mean([len(item) for item in quiet])
    strengths = [value for item in talkative for name, value in item.items() if name not in ("haze", "low_light")]
    assert np.mean([value == 0 for value in strengths]) == pytest.approx(0.8 + 0.2 * 0.2, abs=0.08)


@pytest.mark.parametrize(("sure_darkness", "named"), [(0.0, {"low_light": 1.0}), (1.0, {})])
def test_darkness_is_named_where_the_picture_is_not_dark_enough_to_tell(
    pictures: str, sure_darkness: float, named: dict[str, float]
) -> None:
    dataset = hinted(pictures, "low_light(stops=4)", probability=0.0, sure_darkness=sure_darkness)
    assert all(strengths_in(dataset[(epoch, 0)]) == named for epoch in range(4))
