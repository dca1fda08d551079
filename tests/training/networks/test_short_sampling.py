"""Samples under adapters, for validation and for stage 2."""

import copy
from dataclasses import replace

import torch

from ldrestore.training.networks.short_sampling import sample_latents, validation_noise


def sampled(network, steering, noise, steps=3):
    scheduler = copy.deepcopy(network.base.scheduler)
    return sample_latents(network, steering, noise, scheduler=scheduler, num_inference_steps=steps)


def test_equal_noise_gives_equal_samples_which_the_pictures_steer(adapters, steering):
    network, noise = adapters(), torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    first = sampled(network, steering, noise)
    assert first.shape == (2, 4, 8, 8) and first.isfinite().all() and not first.requires_grad
    assert torch.equal(first, sampled(network, steering, noise))
    other = replace(steering, lq_latents=steering.lq_latents.flip(0))
    assert not torch.equal(first, sampled(network, other, noise))


def test_pictures_of_a_batch_are_sampled_each_by_itself(adapters, steering):
    network, noise = adapters(), torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    together, alone = sampled(network, steering, noise), sampled(network, steering.first(1), noise[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_text_is_read_once_and_the_unet_at_each_step(adapters, base, steering):
    network, calls = adapters(), {"text": 0, "unet": 0}
    base.text_encoder.register_forward_hook(lambda *_: calls.update(text=calls["text"] + 1))
    base.unet.register_forward_hook(lambda *_: calls.update(unet=calls["unet"] + 1))
    sampled(network, steering, torch.zeros(2, 4, 8, 8), steps=4)
    assert calls["unet"] == 4
    once = calls["text"]
    sampled(network, steering, torch.zeros(2, 4, 8, 8), steps=2)
    assert calls["text"] == 2 * once


def test_noise_of_validation_is_that_of_the_pictures_number():
    latents = torch.zeros(1, 4, 3, 5, dtype=torch.float32)
    state = torch.get_rng_state()
    first = validation_noise(latents, 4)
    assert first.shape == latents.shape and torch.equal(first, validation_noise(latents, 4))
    assert not torch.equal(first, validation_noise(latents, 5))
    assert torch.equal(state, torch.get_rng_state())
