"""Drops: how much they cover, and that what lies between them stays."""

import numpy as np
import pytest

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


def test_drops_cover_about_the_documented_share(photographs) -> None:
    for strength in (0.1, 0.4):
        shares = [changed(gt, strength=strength, seed=seed).mean() for seed, gt in photographs]
        assert np.mean(shares) == pytest.approx(0.01 + 0.3 * strength**1.2, rel=0.5)


def test_drops_of_a_flat_picture_are_of_its_colour_but_brighter_or_darker() -> None:
    flat = np.empty((96, 96, 3), np.float32)
    flat[:] = (0.6, 0.3, 0.15)
    spattered = raindrop_wide(flat, strength=0.6, generator=np.random.default_rng(2))
    where = np.abs(spattered - flat).max(axis=2) > 0.01
    assert where.any()
    assert np.allclose(spattered[..., 0] / spattered[..., 1], 2, atol=0.01)
    assert np.allclose(spattered[..., 1] / spattered[..., 2], 2, atol=0.01)
