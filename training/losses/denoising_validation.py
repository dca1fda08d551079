"""The diffusion loss on the same pictures, timesteps and noise at each validation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldrestore.training.losses.diffusion_loss import diffusion_loss, prediction_target
from ldrestore.training.losses.validation import ValidationPair

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Timesteps that are tried, as shares of the schedule."""


def validate_denoising(
    latents_of: Callable[[ValidationPair], Tensor],
    predict: Callable[[ValidationPair, Tensor, Tensor], Tensor],
    pairs: list[ValidationPair],
    *,
    scheduler: Any,
) -> dict[str, float]:
    """Mean squared error of predictions for each recipe as "loss/<recipe>", and over all pairs as "loss".

    Args:
        latents_of: The latents (1, C, h, w) that are to be denoised for a pair.
        predict: Takes a pair, noised latents (T, C, h, w) and timesteps (T,) to what the U-Net puts out.
        pairs: What `create_pairs` made.
        scheduler: Of diffusers.
    """
    values: dict[str, list[float]] = {}
    for number, pair in enumerate(pairs):
        latents = latents_of(pair).expand(len(SHARES), -1, -1, -1)  # (T, C, h, w)
        num_timesteps = scheduler.config.num_train_timesteps
        timesteps = torch.tensor([int(share * num_timesteps) for share in SHARES], device=latents.device)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(number)).to(latents)
        prediction = predict(pair, scheduler.add_noise(latents, noise, timesteps), timesteps)
        target = prediction_target(scheduler, latents, noise, timesteps)
        values.setdefault(pair.recipe, []).append(diffusion_loss(prediction, target).mean().item())
    means = {f"loss/{recipe}": float(np.mean(losses)) for recipe, losses in values.items()}
    return means | {"loss": float(np.mean([loss for losses in values.values() for loss in losses]))}
