"""What a user holds against a model's zeal: fidelity and grain, for every embedded model."""

import functools

import numpy as np
import pytest

from ldrestore.assets.catalog import MODELS
from ldrestore.restorers import find_track, restore

FAST_ENOUGH = {track: {"num_inference_steps": 1, "seed": 1} for track in ("stable", "xl")}
"""Options by track, for the time it takes."""


@functools.cache
def photo():
    """A noisy picture with a slope and an edge, (72, 80, 3)."""
    y, x = np.mgrid[:72, :80]
    clean = 60 + x + 60 * (y > 40)
    noise = np.random.default_rng(3).normal(0, 12, (72, 80, 3))
    return (clean[..., None] + noise).clip(0, 255).astype(np.uint8)


@functools.cache
def restored(name, **options):
    more = FAST_ENOUGH.get(find_track(name).name, {})
    return restore(photo(), model=name, device="cpu", output_type="photo", **more, **options).images[0].pixels


@pytest.mark.parametrize("name", MODELS.names())
def test_fidelity_leads_from_the_result_to_the_input(name):
    results = [restored(name, **options) for options in ({}, {"fidelity": 0.4}, {"fidelity": 0.8}, {"fidelity": 1.0})]
    assert np.array_equal(results[-1], photo())
    distances = [np.square(result.astype(float) - photo()).mean() for result in results]
    assert distances == sorted(distances, reverse=True) and len(set(distances)) == len(distances)


@pytest.mark.parametrize("name", MODELS.names())
def test_grain_is_given_back_by_every_model(name):
    flat = (slice(4, 36), slice(4, 76))
    pictures = (restored(name), restored(name, keep_grain=1.0), photo())
    plain, grainy, original = (np.diff(pixels[flat].astype(float), axis=1).std() for pixels in pictures)
    assert plain < 0.9 * original
    assert abs(grainy - original) < abs(plain - original)
