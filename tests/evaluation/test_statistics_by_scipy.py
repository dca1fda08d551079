"""Intervals, tests and corrections against scipy, or against the definition tried out in full."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from ldrestore.evaluation.paired_statistics import (
    LEVEL,
    MOST_ENUMERATED,
    NUM_FLIPS,
    estimate_mean,
    holm,
    sign_flip_p,
    verdict_of,
    widening,
)


def named(count: int) -> list[str]:
    return [f"scene {index:02}" for index in range(count)]


def total(values: Sequence[float], axis: int = -1) -> np.ndarray:
    return np.sum(values, axis=axis)


@pytest.mark.parametrize("num_scenes", [2, 3, 4, 7, 11])
def test_few_scenes_widen_by_the_quantile_of_student(num_scenes: int) -> None:
    student, normal = stats.t.ppf(0.975, num_scenes - 1), stats.norm.ppf(0.975)
    expected = student / normal * math.sqrt(num_scenes / (num_scenes - 1))
    assert widening(num_scenes) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("num_scenes", [12, 20, 100, 5000])
def test_the_expansion_for_many_scenes_keeps_to_student(num_scenes: int) -> None:
    student, normal = stats.t.ppf(0.975, num_scenes - 1), stats.norm.ppf(0.975)
    expected = student / normal * math.sqrt(num_scenes / (num_scenes - 1))
    assert widening(num_scenes) == pytest.approx(expected, rel=1e-3)


def test_widening_falls_with_every_scene_towards_none() -> None:
    factors = [widening(count) for count in range(2, 200)]
    assert all(wider > narrower for wider, narrower in itertools.pairwise(factors))
    assert factors[-1] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("num_scenes", [1, 2, 5, 9, MOST_ENUMERATED])
def test_all_flips_give_the_p_of_scipys_exact_permutation_test(num_scenes: int) -> None:
    values = np.random.default_rng(num_scenes).normal(0.4, 1, num_scenes)
    p = sign_flip_p(values.tolist(), named(num_scenes))
    if num_scenes == 1:
        assert p == 1
        return
    expected = stats.permutation_test(
        (values,), total, permutation_type="samples", n_resamples=np.inf, vectorized=True, alternative="two-sided"
    )
    assert p == pytest.approx(expected.pvalue, abs=1e-12)


def test_scenes_of_several_pictures_are_flipped_by_their_sums() -> None:
    differences = [0.3, 0.2, -0.1, 0.5, 0.4, -0.2, 0.1, 0.6, 0.05]
    clusters = ["a", "a", "b", "c", "c", "c", "d", "e", "f"]
    sums = np.array([0.5, -0.1, 0.7, 0.1, 0.6, 0.05])
    signs = np.array(list(itertools.product((-1, 1), repeat=6)))
    expected = np.mean(np.abs(signs @ sums) >= sums.sum() - 1e-12)
    assert sign_flip_p(differences, clusters) == pytest.approx(expected)


@pytest.mark.parametrize("count", [6, 20])
def test_p_has_no_direction_and_no_scale(count: int) -> None:
    values = np.random.default_rng(5).normal(0.3, 1, count)
    p = sign_flip_p(values.tolist(), named(count))
    assert sign_flip_p((-values).tolist(), named(count)) == p
    assert sign_flip_p((1000 * values).tolist(), named(count)) == p
    assert sign_flip_p((values / 1e6).tolist(), named(count)) == p


def test_drawn_flips_never_give_a_p_of_nothing() -> None:
    p = sign_flip_p([5.0] * 40, named(40))
    assert p == 1 / (NUM_FLIPS + 1)
    assert sign_flip_p([0.0] * 40, named(40)) == 1


def test_p_does_not_hang_on_the_order_of_pictures() -> None:
    values = np.random.default_rng(2).normal(0.5, 1, 18).tolist()
    clusters = named(18)
    order = np.random.default_rng(3).permutation(18)
    mixed = [values[place] for place in order], [clusters[place] for place in order]
    assert sign_flip_p(*mixed) == sign_flip_p(values, clusters)
    again, first = estimate_mean(*mixed), estimate_mean(values, clusters)
    assert (again.mean, again.low, again.high) == pytest.approx((first.mean, first.low, first.high), abs=1e-12)


def test_p_agrees_with_the_paired_t_test_where_that_is_right() -> None:
    values = np.random.default_rng(8).normal(0.35, 1, 60)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert 0.001 < expected < 0.1
    assert sign_flip_p(values.tolist(), named(60)) == pytest.approx(expected, abs=0.01)


def test_the_interval_is_scipys_percentile_bootstrap_widened() -> None:
    values = np.random.default_rng(4).exponential(2, 25)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(0), vectorized=True
    ).confidence_interval
    estimate = estimate_mean(values.tolist(), named(25))
    mean, factor = values.mean(), widening(25)
    assert estimate.mean == pytest.approx(mean)
    assert estimate.low == pytest.approx(mean + factor * (found.low - mean), abs=0.06)
    assert estimate.high == pytest.approx(mean + factor * (found.high - mean), abs=0.06)


def test_the_interval_of_many_normal_values_is_that_of_student() -> None:
    values = np.random.default_rng(11).normal(30, 2, 200)
    low, high = stats.t.interval(0.95, 199, loc=values.mean(), scale=stats.sem(values))
    estimate = estimate_mean(values.tolist(), named(200))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.04)


def test_scenes_of_several_pictures_are_drawn_whole() -> None:
    """A scene with nine pictures weighs nine in the mean, and comes or stays away with all nine."""
    values = [10.0] * 9 + [20.0, 30.0]
    clusters = ["a"] * 9 + ["b", "c"]
    means = []
    for drawn in itertools.product(range(3), repeat=3):  # every bootstrap sample there is
        parts = [((90, 9), (20, 1), (30, 1))[scene] for scene in drawn]
        means.append(sum(part[0] for part in parts) / sum(part[1] for part in parts))
    estimate = estimate_mean(values, clusters)
    mean = 140 / 11
    assert estimate.mean == pytest.approx(mean) and (estimate.num_values, estimate.num_scenes) == (11, 3)
    assert estimate.low == pytest.approx(mean + widening(3) * (min(means) - mean))
    assert estimate.high == pytest.approx(mean + widening(3) * (max(means) - mean))


def test_equal_values_have_an_interval_of_no_width() -> None:
    estimate = estimate_mean([0.25] * 8, named(8))
    assert (estimate.mean, estimate.low, estimate.high) == (0.25, 0.25, 0.25)


def test_an_interval_moves_and_scales_with_its_values() -> None:
    values = np.random.default_rng(6).normal(0, 1, 10)
    plain = estimate_mean(values.tolist(), named(10))
    assert plain.low is not None and plain.high is not None
    other = estimate_mean((100 + 2 * values).tolist(), named(10))
    assert (other.low, other.high) == pytest.approx((100 + 2 * plain.low, 100 + 2 * plain.high))


def closed_testing(p_values: dict[str, float]) -> dict[str, float]:
    """Holm's procedure by its definition: of all families with a hypothesis, the largest Bonferroni p."""
    names = list(p_values)
    families = [part for size in range(1, len(names) + 1) for part in itertools.combinations(names, size)]
    return {
        name: max(
            min(1.0, len(family) * min(p_values[part] for part in family)) for family in families if name in family
        )
        for name in names
    }


@pytest.mark.parametrize("seed", range(6))
def test_holm_is_closed_testing_by_bonferroni(seed: int) -> None:
    generator = np.random.default_rng(seed)
    p_values = {name: round(float(p), 2) for name, p in zip("fbdace", generator.beta(0.3, 2, 6), strict=True)}
    assert holm(p_values) == pytest.approx(closed_testing(p_values))


def test_holm_of_ties_gives_each_the_same() -> None:
    assert holm({"a": 0.01, "b": 0.01, "c": 0.01}) == pytest.approx(dict.fromkeys("abc", 0.03))
    assert holm({"only": 0.049}) == {"only": 0.049}


def test_holm_never_lowers_a_p_nor_changes_their_order() -> None:
    p_values = {f"{index}": float(p) for index, p in enumerate(np.random.default_rng(1).uniform(0, 1, 30))}
    corrected = holm(p_values)
    assert list(corrected) == list(p_values)
    assert all(p_values[name] <= corrected[name] <= 1 for name in p_values)
    by_plain = sorted(p_values, key=p_values.__getitem__)
    assert [corrected[name] for name in by_plain] == sorted(corrected.values())


def test_holm_lies_between_no_correction_and_bonferroni() -> None:
    p_values = {"a": 0.012, "b": 0.02, "c": 0.3, "d": 0.04}
    corrected = holm(p_values)
    assert all(p_values[name] <= corrected[name] <= min(1, 4 * p_values[name]) for name in p_values)
    assert corrected["a"] == pytest.approx(0.048)  # the smallest is Bonferroni's, the others less
    assert corrected["b"] == pytest.approx(0.06)


def test_no_difference_is_tied_however_sure_and_the_level_itself_is_not_below_the_level() -> None:
    assert verdict_of(0.0, 0.0, lower_is_better=False) == "tied"
    assert verdict_of(1.0, LEVEL, lower_is_better=False) == "tied"
    assert verdict_of(1.0, math.nextafter(LEVEL, 0), lower_is_better=False) == "second"


@pytest.mark.parametrize("lower", [True, False])
def test_a_verdict_turns_with_its_sign(lower: bool) -> None:
    verdicts = {verdict_of(sign * 0.1, 0.001, lower_is_better=lower) for sign in (-1, 1)}
    assert verdicts == {"first", "second"}


def test_a_false_call_over_many_equal_datasets_is_rare() -> None:
    """Of families without any difference about one in twenty has a call at 5 %, not one in two."""
    generator = np.random.default_rng(9)
    num_called = 0
    for _ in range(100):
        p_values = {f"{dataset}": sign_flip_p(generator.normal(0, 1, 8).tolist(), named(8)) for dataset in range(10)}
        num_called += any(p < LEVEL for p in holm(p_values).values())
    assert num_called <= 12  # 5 in 100, and three standard errors
