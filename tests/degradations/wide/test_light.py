"""Darkness as it measures on real sets."""

import numpy as np

from ldrestore.degradations.wide.light import low_light_wide


def dark_pictures(photographs, *, strengths):
    results = []
    for seed, gt in photographs * 2:
        generator = np.random.default_rng([seed, len(results)])
        results.append(low_light_wide(gt, strength=generator.uniform(*strengths), generator=generator))
    return results


def test_lol_inputs_lie_inside_what_is_drawn(photographs):
    """LOL: mean 0.05, from 0.03 to 0.10; 99.5 % of the pixels below 0.16."""
    results = dark_pictures(photographs, strengths=(0.5, 1.0))
    means = [result.mean() for result in results]
    brightest = [np.percentile(result, 99.5) for result in results]
    assert np.percentile(means, 20) < 0.05 < np.percentile(means, 60)
    assert np.percentile(means, 95) > 0.1
    assert np.percentile(brightest, 10) < 0.16 < np.percentile(brightest, 90)


def test_dark_photographs_lie_inside_what_is_drawn(photographs):
    """DICM: mean 0.25, from 0.02 to 0.51, while the 95th percentile is 0.63: light is uneven."""
    results = dark_pictures(photographs, strengths=(0.0, 1.0))
    uneven = [np.percentile(result, 95) / max(result.mean(), 1e-3) for result in results]
    means = [result.mean() for result in results]
    assert np.percentile(means, 5) < 0.03 and np.percentile(means, 95) > 0.28
    assert np.percentile(uneven, 90) > 2.5


def test_the_darkest_is_darker_by_the_stops_of_the_strength():
    """Without noise and tone the code value falls by 2^(stops / 2.2): on average it does with them."""
    grey = np.full((64, 64, 3), 0.5, np.float32)
    for strength in (0.25, 0.5):
        means = [
            low_light_wide(grey, strength=strength, generator=np.random.default_rng(seed)).mean() for seed in range(60)
        ]
        expected = 0.5 * 2 ** (-(0.2 + 7.8 * strength) / 2.2)
        assert 0.6 * expected < np.percentile(means, 25) < 1.5 * expected
