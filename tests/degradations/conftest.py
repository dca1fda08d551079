import numpy as np
import pytest

from ldrestore.degradations.recipes import apply_recipe, parse_recipe


@pytest.fixture
def picture():
    """(48, 61, 3) float32: edges, a ramp and fine texture, away from black and white."""
    rows, columns = np.mgrid[0:48, 0:61].astype(np.float32)
    texture = np.random.default_rng(5).uniform(-0.05, 0.05, (48, 61)).astype(np.float32)
    board = 0.3 * (((rows // 8) + (columns // 8)) % 2)
    grey = 0.25 + board + 0.2 * columns / 61 + texture
    return np.stack([grey, 0.9 * grey, 0.8 * grey + 0.05], axis=-1).astype(np.float32)


@pytest.fixture
def degraded():
    """Apply a recipe with a fresh generator."""

    def apply(image, recipe, *, severity=0.5, seed=0):
        generator = np.random.default_rng(seed)
        return apply_recipe(image, parse_recipe(recipe), severity=severity, generator=generator)

    return apply


@pytest.fixture
def grey():
    """A picture of one value: (H, W, 3) float32."""

    def make(value, height=64, width=64):
        return np.full((height, width, 3), value, np.float32)

    return make
