"""Samples under adapters, for validation and for stage 2."""

import copy
from dataclasses import replace

import pytest
import torch

from ldrestore.training.losses.diffusion_loss import noise_between
from ldrestore.training.networks.short_sampling import sample_latents, sample_whole, validation_noise
from ldrestore.training.networks.small_prior import create_scheduler


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


@pytest.mark.parametrize("begins_from_lq", [False, True])
def test_a_whole_sample_is_ddim_from_its_equations(begins_from_lq: bool) -> None:
    """Eq. 12 of Song et al. 2020 without noise, from pure noise or from the noised latents of the damaged picture."""
    scheduler = create_scheduler(ends_in_pure_noise=False)
    generator = torch.Generator().manual_seed(0)
    lq_latents, noise = torch.randn(2, 1, 4, 4, 4, generator=generator).unbind()

    def predict(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return 0.5 * torch.tanh(latents) + float(timestep) / 2000

    found = sample_whole(
        predict,
        lq_latents,
        noise,
        scheduler=copy.deepcopy(scheduler),
        num_inference_steps=4,
        begins_from_lq=begins_from_lq,
    )
    alpha = scheduler.alphas_cumprod.double()
    latents = noise.double()
    if begins_from_lq:
        latents = alpha[999].sqrt() * lq_latents.double() + (1 - alpha[999]).sqrt() * noise.double()
    for timestep, before in ((999, 749), (749, 499), (499, 249), (249, None)):
        velocity = predict(latents, torch.tensor(timestep))
        signal, sigma = alpha[timestep].sqrt(), (1 - alpha[timestep]).sqrt()
        clean, epsilon = signal * latents - sigma * velocity, signal * velocity + sigma * latents
        latents = clean if before is None else alpha[before].sqrt() * clean + (1 - alpha[before]).sqrt() * epsilon
    torch.testing.assert_close(found.double(), latents, rtol=1e-4, atol=1e-4)


def test_a_model_that_knows_the_picture_samples_it() -> None:
    scheduler, latents = create_scheduler(), torch.randn(1, 4, 4, 4)

    def predict(noised: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        at = timestep.expand(1)
        noise = noise_between(noised, latents, timesteps=at, scheduler=scheduler)
        return scheduler.get_velocity(latents, noise, at)

    found = sample_whole(
        predict,
        torch.zeros_like(latents),
        torch.randn(1, 4, 4, 4),
        scheduler=copy.deepcopy(scheduler),
        num_inference_steps=3,
    )
    torch.testing.assert_close(found, latents, rtol=1e-3, atol=1e-3)
