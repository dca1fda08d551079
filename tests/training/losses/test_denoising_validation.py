"""The diffusion loss on the same pictures, timesteps and noise at each validation."""

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from ldrestore.training.losses.denoising_validation import SHARES, validate_denoising
from ldrestore.training.losses.validation import ValidationPair


def pair(recipe, value):
    picture = torch.full((3, 8, 8), value, dtype=torch.uint8)
    return ValidationPair(recipe, Path("a.png"), picture, picture)


def latents_of(one):
    return torch.full((1, 4, 2, 2), one.lq.float().mean().item() / 255)


PAIRS = [pair("rain", 0), pair("rain", 51), pair("haze", 255)]


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_perfect_prediction_has_no_loss(prediction_type):
    scheduler = DDIMScheduler(prediction_type=prediction_type)

    def predict(one, noised, timesteps):
        alpha_bar = scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        clean = latents_of(one)
        noise = (noised - alpha_bar.sqrt() * clean) / (1 - alpha_bar).sqrt()
        return noise if prediction_type == "epsilon" else alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * clean

    found = validate_denoising(latents_of, predict, PAIRS, scheduler=scheduler)
    assert set(found) == {"loss", "loss/rain", "loss/haze"}
    assert max(found.values()) < 1e-8


def test_the_mean_is_over_pictures_and_equal_calls_give_equal_numbers():
    scheduler, calls = DDIMScheduler(), []

    def predict(_, noised, timesteps):
        calls.append((noised.clone(), timesteps.tolist()))
        return torch.zeros_like(noised)

    first = validate_denoising(latents_of, predict, PAIRS, scheduler=scheduler)
    second = validate_denoising(latents_of, predict, PAIRS, scheduler=scheduler)
    assert first == second
    assert first["loss"] == pytest.approx((2 * first["loss/rain"] + first["loss/haze"]) / 3)
    assert calls[0][1] == [int(share * 1000) for share in SHARES]
    assert torch.equal(calls[0][0], calls[3][0])  # the same noise for the same picture
    assert not torch.equal(calls[0][0], calls[1][0])  # another for another
