"""The one denoising loop, for any of diffusers' schedulers; what the model predicts is the scheduler's business."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from ldrestore.errors import ConfigError, InputError

NEEDED_METHODS = ("set_timesteps", "scale_model_input", "add_noise", "step")
"""What a scheduler must offer."""


def check_scheduler(scheduler: Any) -> None:
    """Refuse what is no scheduler for a model that predicts noise, samples or velocities.

    Raises:
        ConfigError: a method is missing; flow matching, for one, adds noise in another way.
    """
    missing = [name for name in NEEDED_METHODS if not hasattr(scheduler, name)]
    if missing:
        raise ConfigError(
            f"{type(scheduler).__name__} has no {', '.join(missing)}; use a scheduler for Stable Diffusion, such as "
            "DDIMScheduler or DPMSolverMultistepScheduler"
        )


def prediction_type_of(scheduler: Any) -> str:
    """What the model predicts: "epsilon", "v_prediction" or "sample"; "epsilon" where the config does not say.

    Args:
        scheduler: Any of diffusers', whose own default is the same.
    """
    return str(scheduler.config.get("prediction_type", "epsilon"))


def set_timesteps(scheduler: Any, *, num_inference_steps: int | None, strength: float, device: torch.device) -> Tensor:
    """Choose the timesteps, and make the scheduler forget an earlier run.

    Args:
        scheduler: Any of diffusers' for Stable Diffusion.
        num_inference_steps: Steps of the whole schedule; None, which a pipeline fills in, is refused.
        strength: In [0, 1], which part of the schedule, from its end, is gone through.
        device: Where the timesteps lie.

    Returns:
        Timesteps in training steps, the noisiest first; none for a strength of 0. Schedulers of higher order have
        several for a step.

    Raises:
        InputError: an option out of range, more steps than the scheduler was trained with, or a part of a schedule
            that works as a whole only.
    """
    most = scheduler.config.num_train_timesteps
    is_number = isinstance(num_inference_steps, int) and not isinstance(num_inference_steps, bool)
    if num_inference_steps is None or not is_number or not 1 <= num_inference_steps <= most:
        raise InputError(f"num_inference_steps must be a whole number in [1, {most}], got {num_inference_steps!r}")
    if not 0 <= strength <= 1:
        raise InputError(f"strength must lie in [0, 1], got {strength}")
    if strength < 1 and scheduler.config.get("skip_prk_steps") is False:
        raise InputError("PNDM goes through a part of its schedule only with skip_prk_steps=True; set it, as SD does")
    scheduler.set_timesteps(num_inference_steps, device=device)
    num_skipped = num_inference_steps - min(int(num_inference_steps * strength), num_inference_steps)
    begin = num_skipped * getattr(scheduler, "order", 1)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    return scheduler.timesteps[begin:]


def starting_latents(
    scheduler: Any,
    *,
    lq_latents: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    strength: float,
    begins_from_lq: bool = False,
) -> Tensor:
    """Where the loop starts: from pure noise, or from the damaged picture with noise upon it.

    Args:
        scheduler: After `set_timesteps`.
        lq_latents: (B, 4, h, w).
        noise: Same shape, standard normal.
        timesteps: Those that are gone through.
        strength: 1 for pure noise; below, the noise of the first timestep is added.
        begins_from_lq: Whether it is added at 1 too, where a little of the picture is left at the first timestep.

    Returns:
        (B, 4, h, w), float32; the lq latents themselves where there is no timestep.
    """
    if len(timesteps) == 0:
        return lq_latents.float()
    if strength == 1 and not begins_from_lq:
        return noise.float() * scheduler.init_noise_sigma
    return scheduler.add_noise(lq_latents.float(), noise.float(), timesteps[:1])


def denoise(
    latents: Tensor,
    timesteps: Tensor,
    *,
    scheduler: Any,
    predict: Callable[[Tensor, Tensor], Tensor],
    generator: Generator | None = None,
    on_step_end: Callable[[int, Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Denoise latents, Ho et al. 2020 (https://arxiv.org/abs/2006.11239) and what came after it.

    The scheduler computes in float32, whatever the model does.

    Args:
        latents: (B, 4, h, w), see `starting_latents`.
        timesteps: See `set_timesteps`.
        scheduler: Turns the model's output, of its own `prediction_type`, into the next latents.
        predict: The model: latents as the scheduler scales them, and the timestep, to its output of their shape.
        generator: For schedulers that draw.
        on_step_end: Number of the step, timestep and latents to the latents to go on with.

    Returns:
        (B, 4, h, w), float32.
    """
    takes_generator = "generator" in inspect.signature(scheduler.step).parameters
    options = {"generator": generator} if takes_generator else {}
    for index, timestep in enumerate(timesteps):
        model_input = scheduler.scale_model_input(latents, timestep)
        model_output = predict(model_input, timestep).to(latents.dtype)
        latents = scheduler.step(model_output, timestep, latents, **options, return_dict=False)[0]
        if on_step_end is not None:
            latents = on_step_end(index, timestep, latents)
    return latents
