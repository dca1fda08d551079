import numpy as np
import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.paired_statistics import estimate_mean, holm, verdict_of


def test_a_scene_that_comes_often_is_drawn_as_one():
    values = np.random.default_rng(0).normal(0, 1, 20).tolist()
    alone = estimate_mean(values, [str(index) for index in range(20)])
    thrice = estimate_mean(values * 3, [str(index) for index in range(20)] * 3)
    assert thrice.mean == pytest.approx(alone.mean)
    assert (thrice.low, thrice.high) == pytest.approx((alone.low, alone.high))
    pretended = estimate_mean(values * 3, [str(index) for index in range(60)])
    assert pretended.high - pretended.low < 0.7 * (alone.high - alone.low)


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        estimate = estimate_mean(generator.normal(1, 1, 30).tolist(), [str(index) for index in range(30)])
        hits += estimate.low <= 1 <= estimate.high
    assert 176 <= hits <= 198


def test_few_scenes_cannot_be_sure():
    assert estimate_mean([1.0, 1.1, 0.9], ["a", "b", "c"]).p == 0.25
    assert estimate_mean([1.0] * 12, [str(index) for index in range(12)]).p == pytest.approx(2 / 2001)
    assert estimate_mean([0.0, 0.0], ["a", "b"]).p == 1


def test_equal_values_give_equal_estimates():
    values = [0.1, 0.5, -0.2]
    assert estimate_mean(values, ["a", "b", "c"]) == estimate_mean(values, ["a", "b", "c"])


def test_holm_steps_down_and_keeps_the_order():
    assert holm({"a": 0.04, "b": 0.01, "c": 0.03}) == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize(
    ("difference", "p", "lower", "verdict"),
    [(1, 0.01, False, "second"), (1, 0.01, True, "first"), (-1, 0.01, False, "first"), (1, 0.05, False, "tied")],
)
def test_verdicts(difference, p, lower, verdict):
    assert verdict_of(difference, p, lower_is_better=lower) == verdict


def test_values_that_are_none_or_infinite_are_refused():
    with pytest.raises(InputError, match="finite values"):
        estimate_mean([], [])
    with pytest.raises(InputError, match="finite values"):
        estimate_mean([float("inf")], ["a"])
