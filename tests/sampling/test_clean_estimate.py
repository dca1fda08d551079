import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

from ldrestore.errors import ConfigError, ShapeError
from ldrestore.sampling.clean_estimate import alpha_bar_at, clean_latents
from ldrestore.sampling.denoising import denoise, set_timesteps, starting_latents

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

CPU = torch.device("cpu")
SCHEDULERS = (
    (DDIMScheduler, {"clip_sample": False}),
    (DPMSolverMultistepScheduler, {}),
    (EulerDiscreteScheduler, {}),
    (EulerDiscreteScheduler, {"use_karras_sigmas": True}),
    (HeunDiscreteScheduler, {}),
    (UniPCMultistepScheduler, {}),
)


def make(scheduler_class, **options):
    return scheduler_class(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, **options)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("timestep", [1, 500, 999])
def test_the_estimate_undoes_the_noise_that_was_added(prediction_type, timestep):
    scheduler = make(DDIMScheduler, prediction_type=prediction_type)
    clean, noise = torch.randn(2, 2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    now = torch.tensor([timestep])
    noisy = scheduler.add_noise(clean, noise, now)
    output = {
        "epsilon": noise,
        "v_prediction": scheduler.get_velocity(clean, noise, now),
        "sample": clean,
    }[prediction_type]
    found = clean_latents(noisy, output, now[0], scheduler=scheduler)
    torch.testing.assert_close(found, clean, atol=1e-4, rtol=1e-4)


def test_each_of_a_batch_may_have_a_timestep_of_its_own():
    scheduler = make(DDIMScheduler, prediction_type="v_prediction")
    noisy, output = torch.randn(2, 3, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([1, 500, 999])
    found = clean_latents(noisy, output, timesteps, scheduler=scheduler)
    for index, timestep in enumerate(timesteps):
        alone = clean_latents(noisy[index : index + 1], output[index : index + 1], timestep, scheduler=scheduler)
        assert torch.equal(found[index : index + 1], alone)


def test_it_is_the_estimate_that_ddim_makes():
    scheduler = make(DDIMScheduler, clip_sample=False, prediction_type="v_prediction")
    scheduler.set_timesteps(10)
    noisy, output = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = scheduler.step(output, scheduler.timesteps[2], noisy).pred_original_sample
    torch.testing.assert_close(clean_latents(noisy, output, scheduler.timesteps[2], scheduler=scheduler), expected)


@pytest.mark.parametrize(("scheduler_class", "options"), SCHEDULERS)
def test_what_the_model_sees_suffices_with_any_scheduler(scheduler_class, options):
    scheduler = make(scheduler_class, **options)
    clean, noise = torch.randn(2, 1, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    timesteps = set_timesteps(scheduler, num_inference_steps=6, strength=1.0, device=CPU)
    start = starting_latents(scheduler, lq_latents=clean, noise=noise, timesteps=timesteps, strength=1.0)
    estimates = []

    def predict(latents, timestep):
        alpha_bar = alpha_bar_at(scheduler, float(timestep))
        output = (latents - alpha_bar**0.5 * clean) / (1 - alpha_bar) ** 0.5
        # the noise that is left, in the same size at each step: with another scaling it would be another size
        assert 0.8 < float(output.std() / noise.std()) < 1.25
        estimates.append(clean_latents(latents, output, timestep, scheduler=scheduler))
        return output

    denoise(start, timesteps, scheduler=scheduler, predict=predict)
    assert len(estimates) == len(timesteps)
    for estimate in estimates:
        torch.testing.assert_close(estimate, clean, atol=1e-3, rtol=1e-3)


def test_between_two_timesteps_the_noise_lies_between():
    scheduler = make(DDIMScheduler)
    low, middle, high = (alpha_bar_at(scheduler, timestep) for timestep in (400, 400.5, 401))
    assert low > middle > high
    assert alpha_bar_at(scheduler, 400 + 1e-6) == pytest.approx(low, rel=1e-6)


def test_other_noise_and_other_shapes_are_refused():
    latents = torch.zeros(1, 4, 2, 2)
    with pytest.raises(ConfigError, match="has no alphas_cumprod"):
        clean_latents(latents, latents, 3, scheduler=EDMEulerScheduler())
    scheduler = make(DDIMScheduler)
    with pytest.raises(ShapeError, match="of one shape"):
        clean_latents(latents, latents[:, :1], 3, scheduler=scheduler)
    scheduler.register_to_config(prediction_type="flow")
    with pytest.raises(ConfigError, match="got 'flow'"):
        clean_latents(latents, latents, 3, scheduler=scheduler)
