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
