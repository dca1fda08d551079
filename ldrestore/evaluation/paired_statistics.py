"""Means with intervals, and paired comparisons that say "tied": bootstrap, sign flips, and Holm's correction.

Pictures of one scene (sigma 15, 25 and 50 of one picture; ten hazy pictures of one clear one) are one cluster: they are
drawn and flipped together. All draws follow from a fixed seed, so that equal scores give equal figures.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ldrestore.errors import InputError

STATISTICS = "sign flips, widened bootstrap"
"""What the functions below do, as results name it."""
FEWEST_SCENES = 3
"""That have an interval: of two, it is nine times as wide as they lie apart."""
NUM_DRAWS = 2000
"""Of the bootstrap."""
NUM_FLIPS = 9999
"""Of the test, where not all of them are tried."""
MOST_ENUMERATED = 12
"""Scenes up to which all 2^scenes flips are tried."""
LEVEL = 0.05
"""What a corrected p must be below, for a verdict that is not "tied"."""
_SEED = 0
_NORMAL = 1.959964
"""Quantile of the normal distribution, of 95 % in the middle."""
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""The same of Student's t with 1, 2, .. degrees of freedom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean and its 95 % interval over scenes."""

    mean: float
    low: float | None
    """None of fewer than `FEWEST_SCENES`, which say little of others."""
    high: float | None
    num_values: int
    num_scenes: int


def estimate_mean(values: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """The mean of values that belong to scenes, by the cluster bootstrap of the ratio sum / count.

    The ends of the percentile interval are moved away from the mean by `widening`: the plain one is too narrow for few
    scenes (Hesterberg 2015, https://arxiv.org/abs/1411.5279, section 4).

    Args:
        values: Finite.
        clusters: The scene of each.

    Raises:
        InputError: there are none, or one is not finite.
    """
    sums, counts = _scenes(values, clusters)
    num_scenes, mean = len(sums), float(sums.sum() / counts.sum())
    low: float | None = None
    high: float | None = None
    if num_scenes >= FEWEST_SCENES:
        drawn = np.random.default_rng(_SEED).integers(num_scenes, size=(NUM_DRAWS, num_scenes))  # (draws, scenes)
        means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        low, high = (mean + widening(num_scenes) * float(end - mean) for end in np.quantile(means, [0.025, 0.975]))
    return Estimate(mean=mean, low=low, high=high, num_values=len(values), num_scenes=num_scenes)


def widening(num_scenes: int) -> float:
    """How much wider than the percentile interval one of so few scenes has to be: t / z, and sqrt(n / (n - 1)).

    Args:
        num_scenes: n, at least 2.
    """
    freedom = num_scenes - 1
    if freedom <= len(_STUDENT):
        student = _STUDENT[freedom - 1]
    else:  # Abramowitz & Stegun 26.7.5, its first terms
        square = _NORMAL**2
        student = _NORMAL * (1 + (square + 1) / (4 * freedom) + (5 * square**2 + 16 * square + 3) / (96 * freedom**2))
    return student / _NORMAL * math.sqrt(num_scenes / freedom)


def sign_flip_p(differences: Sequence[float], clusters: Sequence[str]) -> float:
    """Two-sided p of "the differences lie evenly about zero": how many flips of scenes' signs give as large a mean.

    All flips up to `MOST_ENUMERATED` scenes (Fisher's randomisation test of pairs), `NUM_FLIPS` drawn ones beyond. With
    n scenes no p is below 2 / 2^n: fewer than 6 show no difference at 5 %.

    Args:
        differences: Finite.
        clusters: The scene of each.

    Raises:
        InputError: there are none, or one is not finite.
    """
    sums, _ = _scenes(differences, clusters)
    flipped = np.abs(_signs(len(sums)) @ sums)
    is_as_large = flipped >= abs(sums.sum()) - 1e-9 * np.abs(sums).sum()  # sums in another order differ by rounding
    if len(sums) <= MOST_ENUMERATED:
        return float(is_as_large.mean())
    return float((is_as_large.sum() + 1) / (NUM_FLIPS + 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (Holm 1979): name to corrected p, in the order given.

    Args:
        p_values: Of all hypotheses of one family.
    """
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def verdict_of(difference: float, p_holm: float, *, lower_is_better: bool) -> str:
    """Which of two contestants is better: "first", "second", or "tied".

    Args:
        difference: Mean of second - first.
        p_holm: Corrected.
        lower_is_better: Way of the metric.
    """
    if p_holm >= LEVEL or difference == 0:
        return "tied"
    return "second" if (difference < 0) == lower_is_better else "first"


def _scenes(values: Sequence[float], clusters: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values of each scene, (scenes,) each.

    Raises:
        InputError: there are none, or one is not finite.
    """
    if not values or len(values) != len(clusters) or not all(map(math.isfinite, values)):
        raise InputError(f"expected finite values with a scene each, got {len(values)} and {len(clusters)}")
    place = {scene: index for index, scene in enumerate(sorted(set(clusters)))}
    sums, counts = np.zeros(len(place)), np.zeros(len(place))
    for value, cluster in zip(values, clusters, strict=True):
        sums[place[cluster]] += value
        counts[place[cluster]] += 1
    return sums, counts


@lru_cache(maxsize=8)
def _signs(num_scenes: int) -> np.ndarray:
    """The flips that are tried: (flips, scenes) of -1 and 1."""
    if num_scenes <= MOST_ENUMERATED:
        return np.array(list(itertools.product((-1.0, 1.0), repeat=num_scenes)))
    return np.random.default_rng(_SEED).choice(np.array([-1, 1], np.int8), size=(NUM_FLIPS, num_scenes))
