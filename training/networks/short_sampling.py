"""Samples of whole pictures, for the validation of what is trained and for what is trained after it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ldrestore.sampling.denoising import denoise, set_timesteps, starting_latents
from ldrestore.training.networks.stable_adapters import StableAdapters
from ldrestore.training.networks.steering import LqFeatures


@torch.no_grad()
def sample_latents(
    adapters: StableAdapters, steering: LqFeatures, noise: Tensor, *, scheduler: Any, num_inference_steps: int
) -> Tensor:
    """Latents that adapters restore from pure noise; the text is read once.

    Args:
        adapters: On the device of the noise.
        steering: Of the B damaged pictures.
        noise: (B, C, h, w), standard normal.
        scheduler: Is left in another state.
        num_inference_steps: Of the whole schedule.

    Returns:
        (B, C, h, w), float32, scaled.
    """
    prompt_embeds = adapters.text(steering)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        return adapters.predict(latents, timestep.expand(len(latents)), steering, prompt_embeds=prompt_embeds)

    return sample_whole(
        predict, steering.lq_latents, noise, scheduler=scheduler, num_inference_steps=num_inference_steps
    )


@torch.no_grad()
def sample_whole(
    predict: Callable[[Tensor, Tensor], Tensor],
    lq_latents: Tensor,
    noise: Tensor,
    *,
    scheduler: Any,
    num_inference_steps: int,
    begins_from_lq: bool = False,
) -> Tensor:
    """Latents of the whole schedule.

    Args:
        predict: Latents and timestep to what the network says of them.
        lq_latents: (B, C, h, w), scaled, of the damaged pictures.
        noise: Same shape, standard normal.
        scheduler: Is left in another state.
        num_inference_steps: Of the whole schedule.
        begins_from_lq: Whether it starts from the damaged pictures under noise, and not from noise alone.

    Returns:
        (B, C, h, w), float32, scaled.
    """
    timesteps = set_timesteps(scheduler, num_inference_steps=num_inference_steps, strength=1.0, device=noise.device)
    start = starting_latents(
        scheduler,
        lq_latents=lq_latents,
        noise=noise,
        timesteps=timesteps,
        strength=1.0,
        begins_from_lq=begins_from_lq,
    )
    return denoise(start, timesteps, scheduler=scheduler, predict=predict)


def validation_noise(lq_latents: Tensor, number: int) -> Tensor:
    """The same noise for the same validation picture, whatever the device.

    Args:
        lq_latents: (1, C, h, w), tell shape and device.
        number: Of the picture.
    """
    noise = torch.randn(lq_latents.shape, generator=torch.Generator().manual_seed(number))
    return noise.to(lq_latents.device)
