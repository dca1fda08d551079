"""The loop with well-known solvers, against their recursions written out with nothing but the noise schedule."""

import math
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
)
from torch import Tensor

from ldrestore.sampling.denoising import denoise, set_timesteps, starting_latents

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

CPU = torch.device("cpu")
NOISE_SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def alphas_bar() -> list[float]:
    """The cumulative product of the alphas of Stable Diffusion, whose betas are linear in their roots."""
    product, products = 1.0, []
    for index in range(1000):
        root = 0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * index / 999
        product *= 1 - root**2
        products.append(product)
    return products


ALPHAS_BAR = alphas_bar()


def sigma_at(timestep: float) -> float:
    """sqrt((1 - a) / a)."""
    return math.sqrt((1 - ALPHAS_BAR[int(timestep)]) / ALPHAS_BAR[int(timestep)])


def predicted(latents: Tensor, timestep: Tensor | float) -> Tensor:
    """A model that bends, and knows the time."""
    return torch.tanh(0.7 * latents) + float(timestep) / 2000


def ran(scheduler: Any, *, steps: int, **options: Any) -> tuple[Tensor, Tensor, list[float]]:
    """Pure noise, what the loop makes of it, and the timesteps."""
    noise = torch.randn(1, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    timesteps = set_timesteps(scheduler, num_inference_steps=steps, strength=1.0, device=CPU)
    start = starting_latents(scheduler, lq_latents=torch.ones_like(noise), noise=noise, timesteps=timesteps, strength=1)
    found = denoise(start, timesteps, scheduler=scheduler, predict=predicted, **options)
    return noise, found, timesteps.tolist()


def test_the_schedule_is_that_of_stable_diffusion() -> None:
    scheduler = DDIMScheduler(**NOISE_SCHEDULE)
    torch.testing.assert_close(scheduler.alphas_cumprod, torch.tensor(ALPHAS_BAR), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
def test_euler_goes_along_the_predicted_noise(steps: int) -> None:
    scheduler = EulerDiscreteScheduler(**NOISE_SCHEDULE, timestep_spacing="trailing")
    noise, found, timesteps = ran(scheduler, steps=steps)
    sigmas = [*(sigma_at(timestep) for timestep in timesteps), 0.0]
    x = noise * sigmas[0]
    for timestep, now, then in zip(timesteps, sigmas[:-1], sigmas[1:], strict=True):
        x = x + (then - now) * predicted(x / math.sqrt(now**2 + 1), timestep)
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-3)


def test_heun_corrects_each_step_by_the_slope_at_its_end() -> None:
    scheduler = HeunDiscreteScheduler(**NOISE_SCHEDULE, timestep_spacing="trailing")
    noise, found, timesteps = ran(scheduler, steps=3)
    once = list(dict.fromkeys(timesteps))
    assert len(once) == 3 and len(timesteps) == 5  # two looks a step, and one at the last
    sigmas = [*(sigma_at(timestep) for timestep in once), 0.0]
    x = noise * sigmas[0]
    for index, (timestep, now, then) in enumerate(zip(once, sigmas[:-1], sigmas[1:], strict=True)):
        slope = predicted(x / math.sqrt(now**2 + 1), timestep)
        euler = x + (then - now) * slope
        if then:
            slope = (slope + predicted(euler / math.sqrt(then**2 + 1), once[index + 1])) / 2
        x = x + (then - now) * slope
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-3)


def test_dpm_solver_of_second_order_looks_back_one_step() -> None:
    scheduler = DPMSolverMultistepScheduler(**NOISE_SCHEDULE)
    noise, found, timesteps = ran(scheduler, steps=4)
    signal, spread = ([math.sqrt(part(ALPHAS_BAR[t])) for t in timesteps] for part in (lambda a: a, lambda a: 1 - a))
    ratio = [math.log(a / s) for a, s in zip(signal, spread, strict=True)]  # lambda of Lu et al. 2022
    x, cleans = noise, []
    for index, timestep in enumerate(timesteps):
        cleans.append((x - spread[index] * predicted(x, timestep)) / signal[index])
        if index == 3:
            x = cleans[-1]  # no noise is left behind the last step
            break
        step = ratio[index + 1] - ratio[index]
        direction = cleans[-1]
        if index > 0:
            back = ratio[index] - ratio[index - 1]
            direction = direction + (cleans[-1] - cleans[-2]) * step / (2 * back)
        x = spread[index + 1] / spread[index] * x - signal[index + 1] * (math.exp(-step) - 1) * direction
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-3)


def test_ddpm_draws_from_the_posterior_by_the_generator_it_is_given() -> None:
    scheduler = DDPMScheduler(**NOISE_SCHEDULE, clip_sample=False, timestep_spacing="trailing")
    noise, found, timesteps = ran(scheduler, steps=5, generator=torch.Generator().manual_seed(7))
    drawn, x = torch.Generator().manual_seed(7), noise
    for index, timestep in enumerate(timesteps):
        now = ALPHAS_BAR[timestep]
        then = ALPHAS_BAR[timestep - 200] if timestep >= 200 else 1.0
        alpha = now / then
        clean = (x - math.sqrt(1 - now) * predicted(x, timestep)) / math.sqrt(now)
        x = math.sqrt(then) * (1 - alpha) / (1 - now) * clean + math.sqrt(alpha) * (1 - then) / (1 - now) * x
        if index < 4:  # Eq. 7 of Ho et al. 2020
            deviation = math.sqrt((1 - then) / (1 - now) * (1 - alpha))
            x = x + deviation * torch.randn(x.shape, generator=drawn)
    torch.testing.assert_close(found, x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("steps", "strength", "count"), [(10, 0.05, 0), (10, 0.1, 1), (10, 0.99, 9), (7, 0.5, 3), (1, 1.0, 1), (1, 0.9, 0)]
)
@pytest.mark.parametrize("scheduler_class", [DDIMScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler])
def test_a_part_of_the_schedule_is_its_end(scheduler_class: Any, steps: int, strength: float, count: int) -> None:
    scheduler = scheduler_class(**NOISE_SCHEDULE)
    whole = set_timesteps(scheduler, num_inference_steps=steps, strength=1.0, device=CPU).tolist()
    part = set_timesteps(scheduler, num_inference_steps=steps, strength=strength, device=CPU).tolist()
    looks = 2 * count - 1 if scheduler_class is HeunDiscreteScheduler and count else count
    assert len(part) == looks
    assert part == whole[len(whole) - looks :]


@pytest.mark.parametrize(("strength", "begins_from_lq"), [(0.5, False), (0.5, True), (1.0, True)])
def test_a_damaged_picture_is_noised_as_its_first_timestep_asks(strength: float, begins_from_lq: bool) -> None:
    lq_latents, noise = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    options = {"lq_latents": lq_latents, "noise": noise, "strength": strength, "begins_from_lq": begins_from_lq}
    for scheduler_class, signal, spread in (
        (DDIMScheduler, lambda a: math.sqrt(a), lambda a: math.sqrt(1 - a)),
        (EulerDiscreteScheduler, lambda a: 1.0, lambda a: math.sqrt((1 - a) / a)),
    ):
        scheduler = scheduler_class(**NOISE_SCHEDULE, timestep_spacing="trailing")
        timesteps = set_timesteps(scheduler, num_inference_steps=4, strength=strength, device=CPU)
        found = starting_latents(scheduler, timesteps=timesteps, **options)
        alpha_bar = ALPHAS_BAR[int(timesteps[0])]
        assert found.dtype == torch.float32
        expected = signal(alpha_bar) * lq_latents.float() + spread(alpha_bar) * noise.float()
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_solver_computes_in_float32_whatever_the_model_gives() -> None:
    scheduler = DDIMScheduler(**NOISE_SCHEDULE, clip_sample=False)
    timesteps = set_timesteps(scheduler, num_inference_steps=3, strength=1.0, device=CPU)
    start, inputs = torch.randn(1, 4, 2, 2), []

    def narrow(latents: Tensor, timestep: Tensor) -> Tensor:
        inputs.append(latents.dtype)
        return (0.25 * latents).bfloat16()

    found = denoise(start, timesteps, scheduler=scheduler, predict=narrow)
    assert inputs == [torch.float32] * 3 and found.dtype == torch.float32
