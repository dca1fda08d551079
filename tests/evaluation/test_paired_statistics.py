import itertools

import numpy as np
import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.paired_statistics import estimate_mean, holm, sign_flip_p, verdict_of


def test_a_scene_that_comes_often_is_drawn_as_one():
    values = np.random.default_rng(0).normal(0, 1, 20).tolist()
    alone = estimate_mean(values, [str(index) for index in range(20)])
    thrice = estimate_mean(values * 3, [str(index) for index in range(20)] * 3)
    assert thrice.mean == pytest.approx(alone.mean)
    assert (thrice.low, thrice.high) == pytest.approx((alone.low, alone.high))
    pretended = estimate_mean(values * 3, [str(index) for index in range(60)])
    assert pretended.high - pretended.low < 0.7 * (alone.high - alone.low)


def named(count):
    return [str(index) for index in range(count)]


@pytest.mark.parametrize("count", [3, 6, 30])
def test_the_interval_covers_the_mean_about_as_often_as_it_says(count):
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        estimate = estimate_mean(generator.normal(1, 1, count).tolist(), named(count))
        hits += estimate.low <= 1 <= estimate.high
    assert 181 <= hits <= 198  # 95 in 100, and three standard errors


def test_one_or_two_scenes_have_no_interval_and_show_nothing():
    estimate = estimate_mean([1.0, 1.2], ["a", "a"])
    assert (estimate.mean, estimate.low, estimate.high) == (1.1, None, None)
    assert sign_flip_p([1.0, 1.2], ["a", "a"]) == 1
    assert estimate_mean([1.0, 1.2], ["a", "b"]).low is None
    assert sign_flip_p([1.0, 1.2], ["a", "b"]) == 0.5


@pytest.mark.parametrize("count", [6, 12, 20])
def test_a_difference_is_not_called_more_often_than_the_level_says(count):
    generator = np.random.default_rng(2)
    calls = sum(sign_flip_p(generator.normal(0, 1, count).tolist(), named(count)) < 0.05 for _ in range(400))
    assert calls <= 33  # 5 in 100, and three standard errors


def test_few_scenes_cannot_be_sure():
    assert sign_flip_p([1.0, 1.1, 0.9], ["a", "b", "c"]) == 2 / 2**3
    assert sign_flip_p([1.0] * 5, named(5)) > 0.05 > sign_flip_p([1.0] * 6, named(6))
    assert sign_flip_p([1.0] * 12, named(12)) == 2 / 2**12
    assert sign_flip_p([1.0] * 20, named(20)) == pytest.approx(1e-4)
    assert sign_flip_p([0.0, 0.0], ["a", "b"]) == 1


def test_drawn_flips_give_what_all_of_them_give():
    values = np.random.default_rng(1).normal(0.3, 1, 13)
    means = [abs(np.dot(signs, values)) for signs in itertools.product((-1, 1), repeat=13)]
    exact = np.mean(np.array(means) >= abs(values.sum()) - 1e-9)
    assert 0.02 < exact < 0.5
    assert sign_flip_p(values.tolist(), named(13)) == pytest.approx(exact, abs=0.015)


def test_pictures_of_one_scene_are_flipped_together():
    assert sign_flip_p([1.0] * 18, named(6) * 3) == sign_flip_p([1.0] * 6, named(6)) == 2 / 2**6
    assert sign_flip_p([3.0, -1.0, 2.0], ["a", "a", "b"]) == sign_flip_p([2.0, 2.0], ["a", "b"]) == 0.5


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
