"""What frozen networks say of damaged pictures."""

import pytest
import torch

from ldrestore.errors import ConfigError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.training.losses.diffusion_loss import encoded
from ldrestore.training.networks.steering import as_picture, check_predictor, lq_features_of
from tests.tiny_stable import NAMES


@pytest.fixture
def predictor():
    torch.manual_seed(1)
    return DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8)


@pytest.fixture
def lq():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_features_are_those_of_the_frozen_networks(base, predictor, lq):
    found = lq_features_of(lq, base=base, predictor=predictor)
    embeddings = base.tower(lq, view=predictor.view)
    assert torch.equal(found.lq_latents, encoded(base.vae, lq, is_sampled=False))
    assert torch.equal(found.embeddings, embeddings)
    assert torch.equal(found.probabilities, predictor.probabilities(embeddings).detach())
    assert not any(value.requires_grad for value in (found.lq_latents, found.embeddings, found.probabilities))


def test_latents_that_are_known_are_not_encoded_again(base, predictor, lq, monkeypatch):
    latents = torch.ones(2, 4, 4, 4)
    monkeypatch.setattr(base.vae, "encode", None)
    assert lq_features_of(lq, base=base, predictor=predictor, lq_latents=latents).lq_latents is latents


def test_one_picture_stands_for_many_and_the_first_for_themselves(steering):
    many = steering.first(1).expand(3)
    for name in ("lq_latents", "embeddings", "probabilities"):
        assert torch.equal(getattr(many, name), getattr(steering, name)[:1].repeat_interleave(3, dim=0))
    assert torch.equal(steering.first(2).probabilities, steering.probabilities)


def test_a_predictor_of_another_tower_is_refused(base, predictor):
    check_predictor(predictor, base)
    other = DegradationPredictor(NAMES, embedding_dim=5, hidden_dim=8)
    with pytest.raises(ConfigError, match="embeddings of width 5, the tower's are 6 wide"):
        check_predictor(other, base)


def test_pixels_become_a_picture():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1)
    picture = as_picture(pixels, torch.device("cpu"))
    assert picture.shape == (1, 3, 1, 1)
    torch.testing.assert_close(picture.flatten(), torch.tensor([0, 0.2, 1]))
