"""The verbs of MPerceiver: the same for one picture and for batches, and gradients pass where somebody wants them."""

import pytest
import torch

from ldrestore.adapters.attachment import attach
from ldrestore.structures import Conditioning
from ldrestore.systems.mperceiver import MPerceiver
from tests.tiny_stable import tiny_stable


@pytest.fixture
def system():
    parts = tiny_stable().components
    attachment = attach(parts["unet"], parts["injection"])
    yield MPerceiver(parts, attachment=attachment)
    attachment.detach()


@pytest.fixture
def lq():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def begun_of(system, lq):
    """What steers the denoising of a batch."""
    embeddings = system.embed(lq)
    probabilities = system.probabilities(embeddings)
    text = system.text(embeddings, probabilities)
    conditioning = Conditioning(prompt_embeds=text, probabilities=probabilities, names=system.parts["predictor"].names)
    return system.begin(system.encode_features(lq).latents, conditioning)


def test_a_batch_is_conditioned_as_its_pictures_are(system, lq):
    with torch.no_grad():
        batch = begun_of(system, lq).conditioning
    for index in range(2):
        single, estimate = system.condition(lq[index : index + 1])
        torch.testing.assert_close(batch.prompt_embeds[index : index + 1], single.prompt_embeds, rtol=1e-4, atol=1e-5)
        assert batch.probabilities[index].tolist() == pytest.approx(estimate.probabilities, abs=1e-5)


def test_a_batch_is_predicted_as_its_pictures_are(system, lq):
    noised = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        batch = system.predict(noised, torch.tensor(7), begun=begun_of(system, lq))
        for index in range(2):
            one = slice(index, index + 1)
            alone = system.predict(noised[one], torch.tensor(7), begun=begun_of(system, lq[one]))
            torch.testing.assert_close(alone, batch[one], rtol=1e-4, atol=1e-5)


def test_gradients_reach_what_is_trained_and_nothing_is_left_without_them(system, lq):
    for part in system.networks:
        part.requires_grad_(False)
    trained = {
        name: system.parts[name].requires_grad_(True) for name in ("cm_adapter", "ir_adapter", "injection", "drm")
    }
    begun = begun_of(system, lq)
    prediction = system.predict(torch.randn(2, 4, 4, 4), torch.tensor(7), begun=begun)
    encoded = system.encode_features(lq)
    restored = system.decode_features(encoded.latents, encoded.features, begun.conditioning.probabilities)
    (prediction.square().mean() + restored.square().mean()).backward()
    for name, part in trained.items():
        assert any(weight.grad is not None and weight.grad.any() for weight in part.parameters()), name
    assert system.attachment.slot.features is not None  # checkpointed blocks run again in the backward pass
    with torch.no_grad():
        system.predict(torch.randn(2, 4, 4, 4), torch.tensor(7), begun=begun)
    assert system.attachment.slot.features is None
