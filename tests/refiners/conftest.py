import pytest
import torch

from tests.tiny_autoencoder import make_drm, make_vae


@pytest.fixture
def vae():
    return make_vae()


@pytest.fixture
def drm():
    return make_drm()


@pytest.fixture
def probabilities():
    return torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.2, 0.8]])
