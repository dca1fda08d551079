import math

import pytest

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.estimators.given_degradations import given_estimate, given_strengths, read_degradations

NAMES = ("haze", "rain", "gaussian_noise")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("rain=0.7, gaussian_noise=0.3", (0, 0.7, 0.3)),
        ("rain", (0, 1, 0)),
        ({"haze": 0.5, "gaussian_noise": 0.5}, (0.5, 0, 0.5)),
        ({"haze": 1}, (1, 0, 0)),
    ],
)
def test_weights_are_taken_by_name(given, expected):
    estimate = given_estimate(given, NAMES)
    assert estimate.names == NAMES and estimate.probabilities == pytest.approx(expected)


def test_a_small_rest_is_scaled_away():
    estimate = given_estimate("rain=0.3333,haze=0.3333,gaussian_noise=0.3333", NAMES)
    assert math.fsum(estimate.probabilities) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("rain=0.7", r"sum to 1, got \{'rain': 0.7\}"),
        ("rain=1.5,haze=-0.5", r"lie in \[0, 1\]"),
        ("rain=nan", "lie in"),
        ({}, "sum to 1"),
        ({"rain": "1"}, "lie in"),
        ({"rain": True}, "lie in"),
        ("rain=much", "the weight of rain is no number: 'much'; write rain=0.5"),
        ("rain=", "is no number: ''"),
        ("rain=0.5,rain=0.5", "rain is given twice"),
    ],
)
def test_bad_weights_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        given_estimate(given, NAMES)


def test_unknown_names_get_the_closest():
    with pytest.raises(UnknownNameError, match="unknown degradation 'rian'; did you mean 'rain'"):
        given_estimate("rian=1", NAMES)


def test_strengths_need_not_sum_to_anything_and_a_bare_name_is_taken_away():
    assert given_strengths("haze=0, rain", NAMES) == {"haze": 0.0, "rain": 1.0}
    assert given_strengths({"rain": 0.25}, NAMES) == {"rain": 0.25}


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), True, "much"])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(InputError, match=r"the strength of haze must lie in \[0, 1\].*haze=0 to leave it"):
        given_strengths({"haze": strength}, NAMES)


def test_a_strength_of_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'haze'"):
        given_strengths("hazee=1", NAMES)


def test_one_for_all_pictures_and_one_or_none_for_each_are_read_alike() -> None:
    rain, haze = given_estimate("rain", NAMES), given_estimate({"haze": 1}, NAMES)
    assert read_degradations("rain", names=NAMES, num_pictures=3) == [rain] * 3
    assert read_degradations({"haze": 1}, names=NAMES, num_pictures=2) == [haze] * 2
    assert read_degradations(None, names=NAMES, num_pictures=2) == [None, None]
    assert read_degradations(["rain", None, {"haze": 1}], names=NAMES, num_pictures=3) == [rain, None, haze]
    assert read_degradations(("rain",), names=NAMES, num_pictures=1) == [rain]
    assert read_degradations([], names=NAMES, num_pictures=0) == []


@pytest.mark.parametrize("given", [["rain"], [None] * 3, []])
def test_another_number_than_pictures_is_refused(given: list[str | None]) -> None:
    with pytest.raises(InputError, match=f"one or None for each of the 2 pictures, got {len(given)} degradations"):
        read_degradations(given, names=NAMES, num_pictures=2)


def test_a_bad_one_among_many_is_refused_as_it_is_alone() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'haze'"):
        read_degradations(["rain", "hazee"], names=NAMES, num_pictures=2)
    with pytest.raises(InputError, match="sum to 1"):
        read_degradations([None, "rain=0.5"], names=NAMES, num_pictures=2)


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
def test_the_order_in_which_weights_are_given_does_not_matter(names: tuple[str, ...]) -> None:
    first, second = (given_estimate(text, names) for text in ("rain=0.25,haze=0.75", " haze = 0.75 , rain = 0.25 "))
    assert first == second
    assert dict(zip(first.names, first.probabilities, strict=True)) == {"haze": 0.75, "rain": 0.25, "gaussian_noise": 0}
