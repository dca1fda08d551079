"""Means with intervals, and paired comparisons that say "tied": the bootstrap over scenes, and Holm's correction.

Pictures of one scene (sigma 15, 25 and 50 of one picture; ten hazy pictures of one clear one) are one cluster: they are
drawn together. All draws follow from a fixed seed, so that equal scores give equal intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ldrestore.errors import InputError

NUM_DRAWS = 2000
"""Of the bootstrap."""
LEVEL = 0.05
"""What a corrected p must be below, for a verdict that is not "tied"."""
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean, its 95 % interval over scenes, and how surely it is not zero."""

    mean: float
    low: float
    high: float
    p: float
    """Two-sided bootstrap p of "the mean is zero", at least 2 / 2^scenes: fewer scenes show no more."""
    num_values: int
    num_scenes: int


def estimate_mean(values: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """The mean of values that belong to scenes, by the cluster bootstrap of the ratio sum / count.

    Args:
        values: Finite.
        clusters: The scene of each.

    Raises:
        InputError: there are none, or one is not finite.
    """
    if not values or len(values) != len(clusters) or not all(map(math.isfinite, values)):
        raise InputError(f"expected finite values with a scene each, got {len(values)} and {len(clusters)}")
    scenes = sorted(set(clusters))
    place = {scene: index for index, scene in enumerate(scenes)}
    sums, counts = np.zeros(len(scenes)), np.zeros(len(scenes))
    for value, cluster in zip(values, clusters, strict=True):
        sums[place[cluster]] += value
        counts[place[cluster]] += 1
    drawn = np.random.default_rng(_SEED).integers(len(scenes), size=(NUM_DRAWS, len(scenes)))  # (draws, scenes)
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = 2 * (min((means <= 0).sum(), (means >= 0).sum()) + 1) / (NUM_DRAWS + 1)
    return Estimate(
        mean=float(sums.sum() / counts.sum()),
        low=float(low),
        high=float(high),
        p=min(1.0, max(float(tail), 2.0 ** (1 - len(scenes)))),
        num_values=len(values),
        num_scenes=len(scenes),
    )


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
