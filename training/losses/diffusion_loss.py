"""The latent diffusion loss, Eq. 1 of MPerceiver, Ai et al. 2024 (https://arxiv.org/abs/2312.02918).

    L = E ||epsilon - epsilon_theta(z_t, t, c)||^2,   z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) epsilon

after Rombach et al. 2022 (https://arxiv.org/abs/2112.10752), or the same for another prediction than epsilon.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Generator, Tensor

from ldrestore.errors import ConfigError
from ldrestore.sampling.clean_estimate import clean_latents
from ldrestore.sampling.denoising import prediction_type_of

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


DifferenceNorm = Literal["squared", "absolute"]
"""How a difference counts: by its square, or by itself without its sign."""


def draw_timesteps(
    batch_size: int, *, scheduler: Any, device: torch.device, generator: Generator | None, shift: float = 1.0
) -> Tensor:
    """Timesteps of training, each equally often or the noisy ones more often.

    Args:
        batch_size: B.
        scheduler: Of diffusers; tells how many there are.
        device: Of the result.
        generator: Draws them, on the device; None takes torch's own, which checkpoints hold.
        shift: s > 0 moves a share u of the schedule to s u / (1 + (s - 1) u), Esser et al. 2024, Eq. 23
            (https://arxiv.org/abs/2403.03206); 1 leaves it.

    Returns:
        (B,), whole numbers.
    """
    num = scheduler.config.num_train_timesteps
    drawn = torch.randint(num, (batch_size,), generator=generator, device=device)
    share = (drawn + 0.5) / num
    return (num * shift * share / (1 + (shift - 1) * share)).long().clamp_max(num - 1)  # rounding may reach num


def prediction_target(scheduler: Any, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What the U-Net has to put out, by the prediction type in the scheduler's config.

    Args:
        scheduler: Of diffusers.
        latents: (B, C, H, W), z_0.
        noise: Standard normal, same shape.
        timesteps: (B,).

    Returns:
        The noise for "epsilon", sqrt(abar) noise - sqrt(1 - abar) z_0 for "v_prediction"; like `latents`.

    Raises:
        ConfigError: another type, or epsilon where the last timestep is pure noise, from which it tells nothing.
    """
    kind = prediction_type_of(scheduler)
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    if kind != "epsilon":
        raise ConfigError(f"the scheduler's prediction_type must be epsilon or v_prediction, got {kind!r}")
    if getattr(scheduler.config, "rescale_betas_zero_snr", False):
        raise ConfigError("epsilon prediction learns nothing at zero signal; set prediction_type to v_prediction")
    return noise


def rectified_noise(
    noise: Tensor, latents: Tensor, *, estimate: Tensor, timesteps: Tensor, scheduler: Any, detail: float
) -> Tensor:
    """Noise that moves z_t towards where sampling goes, DREAM, Zhou et al. 2024 (https://arxiv.org/abs/2312.00210).

        epsilon' = epsilon + sqrt(1 - abar_t)^p (epsilon - epsilon_theta(z_t))

    The bracket is sqrt(abar_t / (1 - abar_t)) (z_0^theta - z_0) with the model's estimate z_0^theta of z_0: z_t is made
    of latents that err as the model does, and the target brings it back to z_0. Sampling feeds the model its own
    errors, training by Eq. 1 does not. Written by the estimate, it may come from any timestep.

    Args:
        noise: (B, C, H, W), epsilon.
        latents: z_0.
        estimate: z_0^theta, without gradients; of z_t in the paper.
        timesteps: (B,).
        scheduler: Of diffusers.
        detail: p; 0 moves at all timesteps alike, larger values ever less.

    Returns:
        (B, C, H, W), epsilon'.
    """
    signal, sigma = _signal_and_sigma(scheduler, timesteps, like=noise)
    return noise + sigma**detail * (signal / sigma) * (estimate - latents)


def noise_between(noised: Tensor, latents: Tensor, *, timesteps: Tensor, scheduler: Any) -> Tensor:
    """The noise that makes z_t of z_0, whatever z_t is: (z_t - sqrt(abar_t) z_0) / sqrt(1 - abar_t).

    Args:
        noised: (B, C, H, W), z_t.
        latents: z_0.
        timesteps: (B,).
        scheduler: Of diffusers.

    Returns:
        Like `noised`.
    """
    signal, sigma = _signal_and_sigma(scheduler, timesteps, like=noised)
    return (noised - signal * latents) / sigma


def rolled_out(
    noised: Tensor,
    *,
    begin: Tensor,
    end: Tensor,
    num_steps: int,
    predict: Callable[[Tensor, Tensor], Tensor],
    scheduler: Any,
) -> Tensor:
    """Sample from one timestep down to another: DDIM, Song et al. 2021 (https://arxiv.org/abs/2010.02502), Eq. 12.

    Without new noise (eta 0). Unlike a scheduler's loop, each picture has timesteps of its own.

    Args:
        noised: (B, C, H, W), z at `begin`.
        begin: (B,), timesteps.
        end: (B,), not after `begin`; the timesteps between are spaced evenly and rounded.
        num_steps: At least 1.
        predict: The model: z and timesteps (B,) to its output.
        scheduler: Of diffusers.

    Returns:
        (B, C, H, W), z at `end`.
    """
    timesteps = begin
    for number in range(1, num_steps + 1):
        prediction = predict(noised, timesteps)
        estimate = clean_latents(noised, prediction, timesteps, scheduler=scheduler)
        noise = noise_between(noised, estimate, timesteps=timesteps, scheduler=scheduler)
        timesteps = begin + (end - begin) * number // num_steps
        noised = scheduler.add_noise(estimate, noise, timesteps)
    return noised


def _signal_and_sigma(scheduler: Any, timesteps: Tensor, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(abar_t) and sqrt(1 - abar_t), (B, 1, 1, 1) each."""
    alpha_bar = scheduler.alphas_cumprod.to(like)[timesteps].view(-1, 1, 1, 1)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def min_snr_weights(scheduler: Any, timesteps: Tensor, *, gamma: float) -> Tensor:
    """Min-SNR weighting, Hang et al. 2023 (https://arxiv.org/abs/2303.09556), Sec. 3.4.

    For "epsilon" min(SNR, gamma) / SNR. For "v_prediction" min(SNR + 1, gamma) / (SNR + 1): with the published
    numerator, min(SNR, gamma), the step of pure noise, from which all sampling starts, would have the weight 0.

    Args:
        scheduler: Of diffusers.
        timesteps: (B,).
        gamma: Largest signal-to-noise ratio that counts.

    Returns:
        (B,), float32, in (0, 1].
    """
    alpha_bar = scheduler.alphas_cumprod.to(timesteps.device)[timesteps].float()  # (B,)
    snr = alpha_bar / (1 - alpha_bar)
    shifted = snr + 1 if prediction_type_of(scheduler) == "v_prediction" else snr
    return shifted.clamp_max(gamma) / shifted


def diffusion_loss(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None, *, norm: DifferenceNorm = "squared"
) -> Tensor:
    """Mean squared or absolute error of a prediction, each picture weighted.

    Args:
        prediction: (B, C, H, W), what the U-Net put out.
        target: Same shape.
        weights: (B,), of `min_snr_weights`; None for 1.
        norm: See `DifferenceNorm`.

    Returns:
        (B,), float32.
    """
    differences = prediction.float() - target.float()
    errors = (differences.square() if norm == "squared" else differences.abs()).mean(dim=(1, 2, 3))
    return errors if weights is None else weights * errors


@torch.no_grad()
def encoded(vae: "AutoencoderKL", pictures: Tensor, *, is_sampled: bool, generator: Generator | None = None) -> Tensor:
    """Latents of pictures, scaled as the U-Net takes them.

    Args:
        vae: Frozen.
        pictures: (B, 3, H, W), in [0, 1].
        is_sampled: Whether they are drawn from the posterior, as the prior was trained with (gt); else its mode (lq:
            each picture has one embedding).
        generator: Draws from the posterior.

    Returns:
        (B, C, h, w), float32.
    """
    posterior = vae.encode((pictures * 2 - 1).to(vae.dtype)).latent_dist
    latents = posterior.sample(generator) if is_sampled else posterior.mode()
    return latents.float() * vae.config.scaling_factor
