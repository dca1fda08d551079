"""Samples under adapters, for their own validation and for what is trained after them."""

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
    timesteps = set_timesteps(scheduler, num_inference_steps=num_inference_steps, strength=1.0, device=noise.device)
    start = starting_latents(scheduler, lq_latents=steering.lq_latents, noise=noise, timesteps=timesteps, strength=1.0)
    prompt_embeds = adapters.text(steering)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        return adapters.predict(latents, timestep.expand(len(latents)), steering, prompt_embeds=prompt_embeds)

    return denoise(start, timesteps, scheduler=scheduler, predict=predict)


def validation_noise(lq_latents: Tensor, number: int) -> Tensor:
    """The same noise for the same validation picture, whatever the device.

    Args:
        lq_latents: (1, C, h, w), tell shape and device.
        number: Of the picture.
    """
    noise = torch.randn(lq_latents.shape, generator=torch.Generator().manual_seed(number))
    return noise.to(lq_latents.device)
