import numpy as np
import pytest
import torch
from skimage import data


@pytest.fixture
def cat():
    """(300, 451, 3) uint8: a photograph."""
    return data.chelsea()


@pytest.fixture
def noisy(cat):
    """The photograph with noise of sigma 15."""
    noise = np.random.default_rng(0).normal(0, 15, cat.shape)
    return np.clip(np.rint(cat + noise), 0, 255).astype(np.uint8)


@pytest.fixture
def random_weights():
    """`random_weights(trunk, shapes)`: as torch initialises the trunk, and random positive heads."""

    def make(trunk, shapes):
        torch.manual_seed(0)
        heads = {name: torch.rand(shape) for name, shape in shapes.items()}
        return {f"trunk.{name}": value for name, value in trunk().state_dict().items()} | heads

    return make
