"""Snow: what it hides, how it moves, and what it is made of."""

import numpy as np
import pytest

from ldrestore.degradations.wide.snow import flake_layer, snow_wide


def snow_on(value, *, strength, seed):
    image = np.full((96, 96, 3), value, np.float32)
    return snow_wide(image, strength=strength, generator=np.random.default_rng(seed)) - value


def test_snow_brightens_a_dark_scene_and_no_pixel_gets_darker():
    for seed in range(12):
        snow = snow_on(0.2, strength=0.5, seed=seed)
        assert snow.min() > -1e-3 and snow.mean() > 0.01


def test_sizes_and_transparency_differ_from_picture_to_picture():
    strong = [(snow_on(0.1, strength=0.5, seed=seed) > 0.4).mean() for seed in range(30)]
    assert np.percentile(strong, 20) < 0.02 and np.percentile(strong, 90) > 0.1


@pytest.mark.parametrize("radius", [1.0, 6.0])
def test_a_layer_covers_about_its_share_and_moves_along_its_path(radius):
    options = {"radius": radius, "angle": 0.0, "share": 0.2, "softness": 0.5}
    still, driven = (
        flake_layer(160, 160, motion=motion, generator=np.random.default_rng(1), **options) for motion in (0.0, 20.0)
    )
    assert 0.05 < still.mean() < 0.4
    down, across = (np.abs(np.diff(driven, axis=axis)).mean() for axis in (0, 1))
    assert across > 1.5 * down
