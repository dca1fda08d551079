import math

import pytest

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.estimators.given_degradations import given_estimate

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
