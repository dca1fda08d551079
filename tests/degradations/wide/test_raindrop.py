"""Drops: how much they cover, and that what lies between them stays."""

import numpy as np

from ldrestore.degradations.wide.raindrop import raindrop_wide


def changed(picture, *, strength, seed):
    """Where drops are: (H, W) bool."""
    spattered = raindrop_wide(picture, strength=strength, generator=np.random.default_rng(seed))
    return np.abs(spattered - picture).max(axis=2) > 1e-4


def test_what_lies_between_the_drops_is_untouched(picture):
    shares = [changed(picture, strength=0.4, seed=seed).mean() for seed in range(10)]
    assert 0.02 < np.mean(shares) < 0.5
    assert max(shares) < 0.9


def test_more_strength_covers_more(picture):
    means = [np.mean([changed(picture, strength=s, seed=seed).mean() for seed in range(8)]) for s in (0.05, 0.4, 1.0)]
    assert means == sorted(means) and means[2] > 3 * means[0]
