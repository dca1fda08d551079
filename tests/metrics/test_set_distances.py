"""FID and KID of torch-fidelity with features small enough to write the formulas out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from ldrestore.errors import InputError
from ldrestore.metrics.measures import MetricOptions
from ldrestore.metrics.set_distances import Loader, SetMeasure, open_fid, open_kid

Pictures = list[np.ndarray]

pytestmark = pytest.mark.filterwarnings("ignore:(FID|KID) of .* pictures")


def features_of(picture: np.ndarray) -> list[float]:
    """Means and spreads of the three colours."""
    values = picture.reshape(-1, 3).astype(np.float64) / 255
    return [*values.mean(axis=0), *values.std(axis=0)]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], SetMeasure]:
    """`opened(name)`: a metric of torch-fidelity, with six numbers a picture in Inception's place."""
    from torch_fidelity import registry
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    class Colours(FeatureExtractorBase):
        """Keeps torch-fidelity's rules for extractors."""

        def __init__(self, name: str, features_list: list[str], **options: Any) -> None:
            super().__init__(name, features_list)
            assert Path(options["feature_extractor_weights_path"]).is_file()

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("2048",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "2048"

        def forward(self, pictures: Tensor) -> tuple[Tensor]:
            assert pictures.dtype == torch.uint8 and pictures.shape[1] == 3
            return (torch.tensor([features_of(picture.permute(1, 2, 0).numpy()) for picture in pictures]),)

    monkeypatch.setitem(registry.FEATURE_EXTRACTORS_REGISTRY, "inception-v3-compat", Colours)
    weights = tmp_path / "inception.pth"
    weights.write_bytes(b"")
    opens = {"fid": open_fid, "kid": open_kid}
    return lambda name: opens[name](MetricOptions(name=name, weights={name: weights}))


def drawn(count: int, *, seed: int, low: int = 0) -> Pictures:
    """Pictures of different sizes and colours."""
    random = np.random.default_rng(seed)
    sizes = [tuple(random.integers(3, 9, 2)) for _ in range(count)]
    return [random.integers(low, random.integers(200, 256), (*size, 3)).astype(np.uint8) for size in sizes]


def pairs_of(results: Pictures, truths: Pictures) -> list[tuple[Loader, Loader]]:
    """What reads them, one at a time."""
    return [(lambda r=result: r, lambda t=truth: t) for result, truth in zip(results, truths, strict=True)]


def test_fid_is_the_distance_of_two_gaussians(opened: Callable[[str], SetMeasure]) -> None:
    results, truths = drawn(20, seed=0), drawn(20, seed=1, low=60)
    ours, theirs = (np.array([features_of(picture) for picture in side]) for side in (results, truths))
    difference = ours.mean(axis=0) - theirs.mean(axis=0)
    covariances = [np.cov(side, rowvar=False) for side in (ours, theirs)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = difference @ difference + np.trace(covariances[0] + covariances[1] - 2 * root.real)
    measure = opened("fid")
    assert measure(pairs_of(results, truths)) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert measure(pairs_of(truths, results)) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert measure(pairs_of(truths, truths)) == pytest.approx(0, abs=1e-5)


def test_fid_looks_at_the_sets_and_not_at_who_stands_beside_whom(opened: Callable[[str], SetMeasure]) -> None:
    results, truths, measure = drawn(12, seed=0), drawn(12, seed=1), opened("fid")
    assert measure(pairs_of(results, truths)) == pytest.approx(measure(pairs_of(results[::-1], truths)), rel=1e-4)


def test_kid_is_the_mean_discrepancy_of_cubic_kernels(opened: Callable[[str], SetMeasure]) -> None:
    results, truths = drawn(9, seed=0), drawn(9, seed=1, low=60)
    ours, theirs = ([np.array(features_of(picture)) for picture in side] for side in (results, truths))

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 6 + 1) ** 3)  # of six features

    within = [
        sum(kernel(x, y) for i, x in enumerate(side) for j, y in enumerate(side) if i != j) for side in (ours, theirs)
    ]
    between = sum(kernel(x, y) for x in ours for y in theirs)
    expected = sum(within) / (9 * 8) - 2 * between / 81  # a subset of as many as there are is all of them
    assert opened("kid")(pairs_of(results, truths)) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_pictures_are_read_in_this_process(opened: Callable[[str], SetMeasure]) -> None:
    read: list[int] = []

    def loader(picture: np.ndarray) -> Loader:
        def load() -> np.ndarray:  # a local function, which no worker could be sent
            read.append(len(picture))
            return picture

        return load

    pairs = [(loader(result), loader(truth)) for result, truth in zip(drawn(4, seed=0), drawn(4, seed=1), strict=True)]
    opened("fid")(pairs)
    assert len(read) >= 8


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_one_picture_is_no_set_and_few_are_warned_of(name: str, opened: Callable[[str], SetMeasure]) -> None:
    measure, pictures = opened(name), drawn(2, seed=0)
    for count in (0, 1):
        with pytest.raises(InputError, match=f"{name.upper()} compares sets of at least two pictures, got {count}"):
            measure(pairs_of(pictures[:count], pictures[:count]))
    with pytest.warns(UserWarning, match=f"{name.upper()} of 2 pictures: fewer than 500 scatter widely"):
        measure(pairs_of(pictures, pictures))
