"""Which latents a decoder is trained upon: samples of stage 1, and noised ones of the ground truth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ldrestore.errors import ConfigError
from ldrestore.training.losses.diffusion_loss import encoded

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerLatentsConfig:
    """Which latents are decoded: some are samples under stage 1's adapters, the others those of the ground truth."""

    sampled_share: float = 0.5
    """Share of each batch that is sampled, in [0, 1]; rounded to whole pictures."""
    min_steps: int = 4
    """Fewest steps of a sample's schedule; each batch draws its number."""
    max_steps: int = 8
    """Most steps; validation takes these."""
    max_noise: float = 0.3
    """Most noise upon latents of the ground truth, as its standard deviation where the latents' own is about 1; each
    picture draws its own, evenly from 0."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.sampled_share <= 1 or not 1 <= self.min_steps <= self.max_steps or self.max_noise < 0:
            raise ConfigError(
                "latents: expected sampled_share in [0, 1], 1 <= min_steps <= max_steps and max_noise >= 0, got "
                f"{self.sampled_share}, {self.min_steps}, {self.max_steps} and {self.max_noise}"
            )


@torch.no_grad()
def latents_to_decode(
    gt: Tensor, *, vae: "AutoencoderKL", config: RefinerLatentsConfig, sample: Callable[[int, int], Tensor]
) -> Tensor:
    """Samples for the first pictures of the batch, noised latents of gt for the others.

    Args:
        gt: (B, 3, P, P), in [0, 1].
        vae: Frozen.
        config: How many of which.
        sample: Number of pictures and of steps to latents that stage 1 restores, of the first so many.

    Returns:
        (B, C, h, w), float32, scaled.
    """
    wanted = config.sampled_share * len(gt)
    num_sampled = int(wanted) + int(torch.rand(()) < wanted % 1)  # what is left of a picture is drawn
    parts = []
    if num_sampled > 0:
        steps = int(torch.randint(config.min_steps, config.max_steps + 1, ()))
        parts.append(sample(num_sampled, steps))
    if num_sampled < len(gt):
        latents = encoded(vae, gt[num_sampled:], is_sampled=False)
        spread = torch.rand(len(latents), 1, 1, 1, device=latents.device) * config.max_noise
        parts.append(latents + spread * torch.randn_like(latents))
    return torch.cat(parts)
