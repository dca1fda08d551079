"""The latent diffusion loss of a model that sees the damaged picture: upon which noise, and with which weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ldrestore.errors import ConfigError
from ldrestore.sampling.clean_estimate import clean_latents
from ldrestore.training.losses.diffusion_loss import (
    DifferenceNorm,
    diffusion_loss,
    draw_timesteps,
    min_snr_weights,
    noise_between,
    prediction_target,
    rectified_noise,
    rolled_out,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionLossConfig:
    """The latent diffusion loss."""

    norm: DifferenceNorm = "squared"
    """How the difference of noise and prediction counts: "squared", as in Eq. 1, or "absolute", as in Eq. 9 of
    UniLDiff."""

    min_snr_gamma: float | None = None
    """Largest signal-to-noise ratio that counts, see `diffusion_loss.min_snr_weights`; null weighs all steps alike, as
    Eq. 1 does."""

    timestep_shift: float = 1.0
    """How much more often noisy timesteps are trained than others, see `diffusion_loss.draw_timesteps`; 1, as in Eq. 1,
    draws all alike. At the noisiest the damaged picture alone says what there is, and a small prior learns it last."""

    dream: float | None = None
    """Detail preservation p of DREAM, see `diffusion_loss.rectified_noise`: training upon the model's own errors, at
    the cost of a second pass without gradients; null trains without, as Eq. 1 does."""

    dream_from: Literal["timestep", "pure_noise"] = "timestep"
    """Which errors these are: those at the drawn timestep, as published; or those from pure noise, where sampling
    begins, and which stay with it to the end. The latter brings samples near to the mean of what is possible."""

    rollout_steps: int | None = None
    """In how many steps the model's own sampling goes from pure noise to the drawn timestep, see
    `diffusion_loss.rolled_out`; from what it comes to there, the model learns to find gt. In place of `dream`, and best
    with `min_snr_gamma`: near the end of the schedule a small error of the latents is a large one of the noise."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.dream is not None and self.dream < 0:
            raise ConfigError(f"loss.dream must be at least 0, got {self.dream}; write null for none")
        if self.rollout_steps is not None and self.rollout_steps < 1:
            raise ConfigError(f"loss.rollout_steps must be at least 1, got {self.rollout_steps}; write null for none")
        if self.rollout_steps is not None and self.dream is not None:
            raise ConfigError("loss.rollout_steps and loss.dream exclude each other; write null for one of them")
        if self.min_snr_gamma is not None and self.min_snr_gamma <= 0:
            raise ConfigError(f"loss.min_snr_gamma must be positive, got {self.min_snr_gamma}; write null for none")
        if self.timestep_shift <= 0:
            raise ConfigError(f"loss.timestep_shift must be positive, got {self.timestep_shift}; 1 draws all alike")


def restoring_loss(
    predict: Callable[[Tensor, Tensor], Tensor], latents: Tensor, *, scheduler: Any, config: DiffusionLossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. 1 of `diffusion_loss`, with timesteps, noise and weights as a config asks for.

    Args:
        predict: The model under what it sees of B damaged pictures: z_t and timesteps (B,) to its output.
        latents: (B, C, h, w), z_0, of gt.
        scheduler: Of diffusers.
        config: Which noise, which timesteps, which weights.

    Returns:
        The mean, weighted by timestep where the config asks for it; and the plain mean by the name of its norm.
    """
    timesteps = draw_timesteps(
        len(latents), scheduler=scheduler, device=latents.device, generator=None, shift=config.timestep_shift
    )
    noise = torch.randn_like(latents)
    if config.dream is not None:
        noise = _rectified(predict, latents, noise, timesteps, scheduler=scheduler, config=config)
    if config.rollout_steps is not None:
        noise = _sampled(predict, latents, noise, timesteps, scheduler=scheduler, num_steps=config.rollout_steps)
    prediction = predict(scheduler.add_noise(latents, noise, timesteps), timesteps)
    target = prediction_target(scheduler, latents, noise, timesteps)
    errors = diffusion_loss(prediction, target, norm=config.norm)  # (B,)
    if config.min_snr_gamma is None:
        return errors.mean(), {config.norm: errors.mean()}
    weighted = errors * min_snr_weights(scheduler, timesteps, gamma=config.min_snr_gamma)
    return weighted.mean(), {config.norm: errors.mean()}


@torch.no_grad()
def _rectified(
    predict: Callable[[Tensor, Tensor], Tensor],
    latents: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    *,
    scheduler: Any,
    config: DiffusionLossConfig,
) -> Tensor:
    """The noise of DREAM, by what the model makes of the drawn timesteps or of the noisiest one."""
    assert config.dream is not None
    guessed = timesteps if config.dream_from == "timestep" else _noisiest(timesteps, scheduler)
    noised = scheduler.add_noise(latents, noise, guessed)
    estimate = clean_latents(noised, predict(noised, guessed), guessed, scheduler=scheduler)
    known = {"timesteps": timesteps, "scheduler": scheduler, "detail": config.dream}
    return rectified_noise(noise, latents, estimate=estimate, **known)


@torch.no_grad()
def _sampled(
    predict: Callable[[Tensor, Tensor], Tensor],
    latents: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    *,
    scheduler: Any,
    num_steps: int,
) -> Tensor:
    """The noise between gt and where the model's own sampling is at the drawn timesteps."""
    begin = _noisiest(timesteps, scheduler)
    noised = rolled_out(
        scheduler.add_noise(latents, noise, begin),
        begin=begin,
        end=timesteps,
        num_steps=num_steps,
        predict=predict,
        scheduler=scheduler,
    )
    return noise_between(noised, latents, timesteps=timesteps, scheduler=scheduler)


def _noisiest(timesteps: Tensor, scheduler: Any) -> Tensor:
    """The last timestep of the schedule, for each picture."""
    return torch.full_like(timesteps, scheduler.config.num_train_timesteps - 1)
