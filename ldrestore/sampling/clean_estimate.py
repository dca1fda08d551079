"""What a denoising model takes a noisy sample for: the estimate of x_0 at a timestep."""

import math
from typing import Any

import torch
from torch import Tensor

from ldrestore.errors import ConfigError, ShapeError
from ldrestore.sampling.denoising import prediction_type_of


def clean_latents(model_input: Tensor, model_output: Tensor, timestep: Tensor | float, *, scheduler: Any) -> Tensor:
    """The estimate of x_0 at one step.

        epsilon:       x_0 = (x_t - sqrt(1 - a) epsilon) / sqrt(a)     Ho et al. 2020, Eq. 15 (arXiv 2006.11239)
        v_prediction:  x_0 = sqrt(a) x_t - sqrt(1 - a) v               Salimans and Ho 2022, App. D (arXiv 2202.00512)
        sample:        x_0 is what the model puts out

    with a the cumulative product of the alphas. It holds for every scheduler that is trained with such noise, since all
    of them scale a sample to x_t = sqrt(a) x_0 + sqrt(1 - a) epsilon before the model sees it.

    Args:
        model_input: (B, C, h, w), x_t as `scheduler.scale_model_input` makes it.
        model_output: Same shape, of the scheduler's prediction type.
        timestep: One for all, or (B,), in training steps; it may lie between two of them.
        scheduler: Of diffusers.

    Returns:
        (B, C, h, w), float32; undefined for "epsilon" at zero signal.

    Raises:
        ShapeError: input and output differ in shape.
        ConfigError: the scheduler has no such noise, or predicts something else.
    """
    if model_input.shape != model_output.shape:
        raise ShapeError(
            f"expected a model's input and output of one shape, got {tuple(model_input.shape)} and "
            f"{tuple(model_output.shape)}"
        )
    kind = prediction_type_of(scheduler)
    x, output = model_input.float(), model_output.float()
    alphas_bar = [alpha_bar_at(scheduler, at) for at in torch.as_tensor(timestep).reshape(-1).tolist()]
    alpha_bar = x.new_tensor(alphas_bar).view(-1, 1, 1, 1)
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    if kind == "epsilon":
        return (x - noise * output) / signal
    if kind == "v_prediction":
        return signal * x - noise * output
    if kind == "sample":
        return output
    raise ConfigError(f"a model's prediction is epsilon, v_prediction or sample here, got {kind!r}")


def alpha_bar_at(scheduler: Any, timestep: float) -> float:
    """The cumulative product of the alphas at a timestep.

    Args:
        scheduler: Of diffusers.
        timestep: In training steps. Between two of them the logarithm of sigma = sqrt((1 - a) / a) is interpolated, as
            schedulers do that choose sigmas and look their timesteps up.

    Returns:
        a, in [0, 1].

    Raises:
        ConfigError: the scheduler is for other noise.
    """
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is None:
        raise ConfigError(
            f"{type(scheduler).__name__} has no alphas_cumprod; use a scheduler for Stable Diffusion, such as "
            "DDIMScheduler"
        )
    low, share = int(timestep), timestep - int(timestep)
    if share == 0:
        return float(alphas[low])
    log_sigmas = [0.5 * math.log((1 - float(alphas[index])) / float(alphas[index])) for index in (low, low + 1)]
    sigma = math.exp((1 - share) * log_sigmas[0] + share * log_sigmas[1])
    return 1 / (1 + sigma**2)
