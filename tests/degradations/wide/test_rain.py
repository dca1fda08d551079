"""Rain as it measures on real sets: what it adds, and in which directions."""

import numpy as np
import pytest

from ldrestore.degradations.wide.rain import rain_wide, streak_layer


def rain_on(value, *, strength, seed):
    image = np.full((128, 128, 3), value, np.float32)
    return rain_wide(image, strength=strength, generator=np.random.default_rng(seed)) - value


def test_heavy_rain_is_as_heavy_as_rain100h():
    """Rain100H: +0.19 on average, 64 % of the pixels above +0.1, where rain is +0.26, no colour."""
    added = [rain_on(0.3, strength=0.6, seed=seed) for seed in range(40)]
    means = [rain.mean() for rain in added]
    assert np.percentile(means, 10) < 0.19 < np.percentile(means, 90)
    covered = [(rain > 0.1).mean() for rain in added]
    assert np.percentile(covered, 10) < 0.64 < np.percentile(covered, 90)
    where = [rain[rain > 0.1].mean() for rain in added]
    assert np.percentile(where, 10) < 0.26 < np.percentile(where, 90)
    colours = [np.mean(rain.std(axis=2)) for rain in added]
    assert np.percentile(colours, 20) < 0.009


def test_half_of_it_is_purely_additive_in_code_values():
    """The same streaks on a black and on a brighter ground: what they add is the same."""
    equal = [
        np.allclose(rain_on(0.1, strength=0.1, seed=seed), rain_on(0.3, strength=0.1, seed=seed), atol=1e-5)
        for seed in range(60)
    ]
    assert 0.25 < np.mean(equal) < 0.65


def test_most_rain_falls_steeply():
    """Gradients across the columns are larger than those along them, in most pictures, not in all."""
    ratios = []
    for seed in range(40):
        grey = rain_on(0.3, strength=0.5, seed=seed).mean(axis=2)
        ratios.append(np.abs(np.diff(grey, axis=1)).mean() / np.abs(np.diff(grey, axis=0)).mean())
    assert np.median(ratios) > 1.5 and np.max(ratios) > 4.6
    assert np.mean(np.less(ratios, 1)) < 0.35


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_layer_of_streaks_has_the_mean_that_was_given(angle):
    layers = [
        streak_layer(128, 96, length=30, sigma=0.8, angle=angle, depth=0.3, generator=np.random.default_rng(seed))
        for seed in range(8)
    ]
    assert layers[0].shape == (128, 96) and layers[0].min() >= 0
    assert np.mean(layers) == pytest.approx(0.3, rel=0.25)


def test_streaks_are_as_thin_as_those_of_rain100h():
    """Rain100H: what is added correlates between neighbours in a row by 0.63, from 0.49 to 0.73."""
    correlations = []
    for seed in range(60):
        grey = rain_on(0.3, strength=0.4, seed=seed).mean(axis=2)
        correlations.append(np.corrcoef(grey[:, 1:].ravel(), grey[:, :-1].ravel())[0, 1])
    assert np.percentile(correlations, 10) < 0.49 and np.percentile(correlations, 90) > 0.73
    assert np.median(correlations) < 0.85


@pytest.mark.parametrize("strength", [0.1, 0.4])
def test_streaks_add_the_documented_share_on_average(strength: float) -> None:
    """On black, added rain is 0.008 + 0.42 s^1.4 in the mean: nothing is cut, and a veil is seldom."""
    share = 0.008 + 0.42 * strength**1.4
    means = np.array([rain_on(0.0, strength=strength, seed=seed).mean() for seed in range(48)])
    is_exact = np.abs(means / share - 1) < 0.06
    assert is_exact.mean() > 0.35
    assert np.median(means) == pytest.approx(share, rel=0.35)


def test_rain_that_hides_darkens_what_is_brighter_than_the_air() -> None:
    """Added rain cannot darken; grey streaks before a white wall do."""
    white, black = ([rain_on(value, strength=0.5, seed=seed) for seed in range(30)] for value in (1.0, 0.0))
    assert all(rain.min() >= 0 for rain in black) and all(rain.max() <= 0 for rain in white)
    darkened = [rain.min() < -0.05 for rain in white]
    assert 0.2 < np.mean(darkened) < 0.6


def test_layers_turn_by_their_angle() -> None:
    """A quarter turn of a layer's direction exchanges rows and columns in what it correlates with."""
    for angle, axis in ((0.0, 0), (np.pi / 2, 1)):
        layer = streak_layer(96, 96, length=24, sigma=0.6, angle=angle, depth=0.3, generator=np.random.default_rng(0))
        steps = [np.abs(np.diff(layer, axis=each)).mean() for each in (0, 1)]
        assert steps[axis] < 0.4 * steps[1 - axis]


def test_longer_streaks_are_alike_over_more_pixels() -> None:
    def likeness(length: float) -> float:
        layer = streak_layer(
            128, 128, length=length, sigma=0.8, angle=0.0, depth=0.2, generator=np.random.default_rng(1)
        )
        return float(np.corrcoef(layer[8:].ravel(), layer[:-8].ravel())[0, 1])

    assert likeness(9.0) < 0.35 < 0.6 < likeness(40.0)


def test_no_rain_of_no_depth_falls() -> None:
    layer = streak_layer(20, 30, length=10, sigma=1.0, angle=0.2, depth=0.0, generator=np.random.default_rng(0))
    assert layer.shape == (20, 30) and not layer.any()
