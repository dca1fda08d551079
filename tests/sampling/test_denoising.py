import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from diffusers.configuration_utils import ConfigMixin, register_to_config

from ldrestore.errors import ConfigError, InputError
from ldrestore.sampling.denoising import check_scheduler, denoise, prediction_type_of, set_timesteps, starting_latents

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

CPU = torch.device("cpu")
SCHEDULERS = (
    DDIMScheduler,
    DDPMScheduler,
    PNDMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)


def make(scheduler_class, **options):
    check_scheduler(scheduler_class)
    return scheduler_class(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, **options)


def run(scheduler, clean, *, steps, strength, seed=0):
    """Denoise with a model that knows the answer, and so predicts the noise without an error."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(clean.shape, generator=generator)
    timesteps = set_timesteps(scheduler, num_inference_steps=steps, strength=strength, device=CPU)
    start = starting_latents(scheduler, lq_latents=clean, noise=noise, timesteps=timesteps, strength=strength)

    def predict(latents, timestep):
        alpha_bar = scheduler.alphas_cumprod[timestep.long()]
        return (latents - alpha_bar.sqrt() * clean) / (1 - alpha_bar).sqrt()

    return denoise(start, timesteps, scheduler=scheduler, predict=predict, generator=generator)


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("scheduler_class", SCHEDULERS, ids=lambda one: one.__name__)
def test_a_perfect_model_finds_the_clean_latents_with_any_scheduler(scheduler_class, strength):
    clean = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(9))
    options = {"clip_sample": False} if scheduler_class in (DDIMScheduler, DDPMScheduler) else {}
    options |= {"skip_prk_steps": True} if scheduler_class is PNDMScheduler else {}
    found = run(make(scheduler_class, **options), clean, steps=20, strength=strength)
    assert (found - clean).abs().mean() < 0.12


def test_ddim_is_its_equation():
    scheduler = make(DDIMScheduler, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    timesteps = set_timesteps(scheduler, num_inference_steps=4, strength=1.0, device=CPU)
    assert timesteps.tolist() == [751, 501, 251, 1]
    noise = torch.randn(1, 4, 3, 3)
    start = starting_latents(scheduler, lq_latents=noise, noise=noise, timesteps=timesteps, strength=1.0)
    found = denoise(start, timesteps, scheduler=scheduler, predict=lambda latents, timestep: 0.3 * latents)
    expected = noise
    for now, then in zip([751, 501, 251, 1], [501, 251, 1, -249], strict=True):
        a, b = scheduler.alphas_cumprod[now], scheduler.alphas_cumprod[max(then, 0)]
        clean = (expected - (1 - a).sqrt() * 0.3 * expected) / a.sqrt()
        expected = b.sqrt() * clean + (1 - b).sqrt() * 0.3 * expected
    torch.testing.assert_close(found, expected)


def test_full_strength_starts_from_noise_alone_and_none_from_the_picture():
    scheduler = make(DDIMScheduler)
    lq_latents, noise = torch.ones(1, 4, 2, 2), torch.randn(1, 4, 2, 2)

    def start(strength):
        timesteps = set_timesteps(scheduler, num_inference_steps=10, strength=strength, device=CPU)
        latents = starting_latents(
            scheduler, lq_latents=lq_latents, noise=noise, timesteps=timesteps, strength=strength
        )
        return len(timesteps), latents

    assert start(1.0)[0] == 10 and torch.equal(start(1.0)[1], noise)
    assert start(0.0)[0] == 0 and torch.equal(start(0.0)[1], lq_latents)
    number, latents = start(0.4)
    alpha_bar = scheduler.alphas_cumprod[300]
    assert number == 4
    torch.testing.assert_close(latents, alpha_bar.sqrt() * lq_latents + (1 - alpha_bar).sqrt() * noise)


@pytest.mark.parametrize("scheduler_class", [DPMSolverMultistepScheduler, UniPCMultistepScheduler, PNDMScheduler])
def test_a_run_leaves_nothing_for_the_next(scheduler_class):
    options = {"skip_prk_steps": True} if scheduler_class is PNDMScheduler else {}
    scheduler, clean = make(scheduler_class, **options), torch.randn(1, 4, 3, 3)
    first = run(scheduler, clean, steps=5, strength=1.0)
    run(scheduler, -clean, steps=7, strength=0.5)
    assert torch.equal(run(scheduler, clean, steps=5, strength=1.0), first)


def test_a_scheduler_that_draws_follows_the_generator():
    scheduler, clean = make(EulerAncestralDiscreteScheduler), torch.randn(1, 4, 3, 3)
    state = torch.get_rng_state()
    first = run(scheduler, clean, steps=3, strength=1.0, seed=1)
    assert torch.equal(run(scheduler, clean, steps=3, strength=1.0, seed=1), first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_what_the_model_predicts_is_the_schedulers_business(prediction_type):
    scheduler = make(DDIMScheduler, prediction_type=prediction_type, clip_sample=False)
    clean, noise = torch.randn(2, 1, 4, 3, 3)
    timesteps = set_timesteps(scheduler, num_inference_steps=5, strength=0.6, device=CPU)
    start = starting_latents(scheduler, lq_latents=clean, noise=noise, timesteps=timesteps, strength=0.6)

    def predict(latents, timestep):
        alpha_bar = scheduler.alphas_cumprod[timestep]
        epsilon = (latents - alpha_bar.sqrt() * clean) / (1 - alpha_bar).sqrt()
        velocity = alpha_bar.sqrt() * epsilon - (1 - alpha_bar).sqrt() * clean
        return {"epsilon": epsilon, "v_prediction": velocity, "sample": clean}[prediction_type]

    found = denoise(start, timesteps, scheduler=scheduler, predict=predict)
    torch.testing.assert_close(found, clean, atol=1e-4, rtol=1e-4)


def test_each_step_may_change_the_latents():
    scheduler, calls = make(DDIMScheduler, clip_sample=False), []
    timesteps = set_timesteps(scheduler, num_inference_steps=3, strength=1.0, device=CPU)

    def zero(index, timestep, latents):
        calls.append((index, int(timestep)))
        return torch.zeros_like(latents)

    found = denoise(
        torch.ones(1, 4, 2, 2), timesteps, scheduler=scheduler, predict=lambda x, t: x * 0.5, on_step_end=zero
    )
    assert not found.any()
    assert calls == list(enumerate(timesteps.tolist()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_inference_steps": 1001}, r"\[1, 1000\]"),
        ({"num_inference_steps": 2.0}, "whole number"),
        ({"strength": 1.1}, "strength"),
        ({"strength": float("nan")}, "strength"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        set_timesteps(make(DDIMScheduler), **({"num_inference_steps": 5, "strength": 1.0, "device": CPU} | options))


def test_a_part_of_pndms_schedule_with_its_warm_up_is_refused():
    with pytest.raises(InputError, match="skip_prk_steps"):
        set_timesteps(make(PNDMScheduler), num_inference_steps=5, strength=0.5, device=CPU)


def test_a_scheduler_of_flow_matching_is_refused():
    with pytest.raises(ConfigError, match="add_noise"):
        check_scheduler(FlowMatchEulerDiscreteScheduler())


def test_a_scheduler_that_does_not_say_what_is_predicted_is_of_noise():
    class Silent(SchedulerMixin, ConfigMixin):
        config_name = "scheduler_config.json"

        @register_to_config
        def __init__(self, num_train_timesteps=1000):
            pass

    assert prediction_type_of(Silent()) == "epsilon"
    assert prediction_type_of(DDIMScheduler(prediction_type="v_prediction")) == "v_prediction"
