import pytest
import torch
from diffusers import DDIMScheduler

from ldrestore.errors import ConfigError
from ldrestore.sampling.clean_estimate import clean_latents
from ldrestore.training.losses.diffusion_loss import (
    diffusion_loss,
    draw_timesteps,
    encoded,
    min_snr_weights,
    noise_between,
    prediction_target,
    rectified_noise,
    rolled_out,
)
from ldrestore.training.networks.small_prior import VaeSizes, create_scheduler, create_vae

TIMESTEPS = torch.tensor([0, 500, 999])


def test_the_target_is_the_one_of_the_schedulers_config():
    latents, noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    assert torch.equal(prediction_target(DDIMScheduler(), latents, noise, TIMESTEPS), noise)
    scheduler = create_scheduler()
    alpha_bar = scheduler.alphas_cumprod[TIMESTEPS].view(3, 1, 1, 1)
    expected = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * latents
    torch.testing.assert_close(prediction_target(scheduler, latents, noise, TIMESTEPS), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prediction_type": "sample"}, "must be epsilon or v_prediction, got 'sample'"),
        ({"rescale_betas_zero_snr": True}, "set prediction_type to v_prediction"),
    ],
)
def test_targets_that_cannot_be_learnt_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        prediction_target(DDIMScheduler(**options), *[torch.zeros(3, 4, 2, 2)] * 2, TIMESTEPS)


def test_weights_are_those_of_min_snr():
    scheduler = DDIMScheduler()
    for timestep, weight in zip(TIMESTEPS, min_snr_weights(scheduler, TIMESTEPS, gamma=5.0), strict=True):
        alpha_bar = scheduler.alphas_cumprod[timestep].item()
        snr = alpha_bar / (1 - alpha_bar)
        assert weight.item() == pytest.approx(min(snr, 5) / snr, rel=1e-5)


def test_the_step_of_pure_noise_counts_in_full():
    weights = min_snr_weights(create_scheduler(), TIMESTEPS, gamma=5.0)
    assert weights[-1] == 1 and 0 < weights[0] < 0.01


def test_losses_are_means_of_each_picture():
    prediction, target = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    expected = torch.stack([((prediction[i] - target[i]) ** 2).mean() for i in range(2)])
    torch.testing.assert_close(diffusion_loss(prediction, target), expected)
    weights = torch.tensor([0.5, 2.0])
    torch.testing.assert_close(diffusion_loss(prediction, target, weights), weights * expected)
    absolute = torch.stack([(prediction[i] - target[i]).abs().mean() for i in range(2)])
    torch.testing.assert_close(diffusion_loss(prediction, target, norm="absolute"), absolute)


def test_timesteps_cover_the_whole_schedule():
    generator = torch.Generator().manual_seed(0)
    drawn = draw_timesteps(20000, scheduler=DDIMScheduler(), device=torch.device("cpu"), generator=generator)
    assert drawn.min() == 0 and drawn.max() == 999 and abs(drawn.float().mean() - 499.5) < 10


def test_shifted_timesteps_are_noisier_and_lie_within_the_schedule():
    options = {"scheduler": DDIMScheduler(), "device": torch.device("cpu")}
    drawn = draw_timesteps(20000, generator=torch.Generator().manual_seed(0), shift=4.0, **options)
    even = draw_timesteps(20000, generator=torch.Generator().manual_seed(0), **options)
    assert drawn.min() >= 0 and drawn.max() <= 999 and (drawn >= even).all()
    extreme = draw_timesteps(20000, generator=torch.Generator().manual_seed(0), shift=1e5, **options)
    assert extreme.max() == 999
    share = 0.9 / (4 - 3 * 0.9)  # of the even draws that stay below nine tenths
    assert abs((drawn >= 900).float().mean() - (1 - share)) < 0.01


def test_rectified_noise_adds_the_error_of_the_models_noise():
    """DREAM, from its formula, a timestep at a time."""
    scheduler = DDIMScheduler()
    latents, noise, wrong = (torch.randn(3, 4, 2, 2) for _ in range(3))
    guess = noise + 0.1 * wrong
    noised = scheduler.add_noise(latents, noise, TIMESTEPS)
    known = {"timesteps": TIMESTEPS, "scheduler": scheduler}
    estimate = clean_latents(noised, guess, TIMESTEPS, scheduler=scheduler)
    found = rectified_noise(noise, latents, estimate=estimate, detail=2.0, **known)
    for index, timestep in enumerate(TIMESTEPS):
        share = 1 - float(scheduler.alphas_cumprod[timestep])  # sqrt(1 - abar)^2
        torch.testing.assert_close(found[index], noise[index] - share * 0.1 * wrong[index], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scheduler", [DDIMScheduler(), create_scheduler()], ids=["epsilon", "v_prediction"])
def test_with_rectified_noise_the_latents_are_those_of_the_estimate_and_the_target_leads_back(scheduler):
    latents, noise, estimate = (torch.randn(3, 4, 2, 2) for _ in range(3))
    known = {"timesteps": TIMESTEPS, "scheduler": scheduler}
    moved = rectified_noise(noise, latents, estimate=estimate, detail=0.0, **known)
    noised = scheduler.add_noise(latents, moved, TIMESTEPS)
    torch.testing.assert_close(noised, scheduler.add_noise(estimate, noise, TIMESTEPS), rtol=1e-3, atol=1e-4)
    target = prediction_target(scheduler, latents, moved, TIMESTEPS)
    found = clean_latents(noised, target, TIMESTEPS, scheduler=scheduler)
    torch.testing.assert_close(found, latents, rtol=1e-3, atol=1e-3)


def test_the_latent_of_a_damaged_picture_is_the_mode_and_scaled():
    vae = create_vae(VaeSizes(widths=(8, 8), num_groups=4))
    vae.register_to_config(scaling_factor=0.5)
    picture = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        mode = vae.encode(picture * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(encoded(vae, picture, is_sampled=False), 0.5 * mode)
    assert not torch.equal(encoded(vae, picture, is_sampled=True), 0.5 * mode)


@pytest.mark.parametrize("scheduler", [DDIMScheduler(), create_scheduler()], ids=["epsilon", "v_prediction"])
def test_a_rollout_is_the_schedulers_own_sampling(scheduler):
    scheduler.register_to_config(timestep_spacing="trailing", clip_sample=False)
    scheduler.set_timesteps(4)  # 999, 749, 499, 249
    noised = expected = torch.randn(2, 4, 2, 2)

    def predict(noised, timesteps):
        return torch.tanh(noised) * 0.5 + timesteps.view(-1, 1, 1, 1) / 1000

    for timestep in scheduler.timesteps[:3]:
        expected = scheduler.step(predict(expected, timestep.expand(2)), timestep, expected).prev_sample
    begin, end = torch.full((2,), 999), torch.full((2,), 249)
    found = rolled_out(noised, begin=begin, end=end, num_steps=3, predict=predict, scheduler=scheduler)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scheduler", [DDIMScheduler(), create_scheduler()], ids=["epsilon", "v_prediction"])
def test_the_noise_between_two_latents_makes_one_of_the_other(scheduler):
    noised, latents = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    noise = noise_between(noised, latents, timesteps=TIMESTEPS, scheduler=scheduler)
    torch.testing.assert_close(scheduler.add_noise(latents, noise, TIMESTEPS), noised, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shift", [0.25, 1.0, 3.0])
def test_timesteps_are_moved_as_equation_23_says(shift: float) -> None:
    options = {"scheduler": DDIMScheduler(), "device": torch.device("cpu")}
    drawn = draw_timesteps(500, generator=torch.Generator().manual_seed(3), shift=shift, **options)
    even = torch.randint(1000, (500,), generator=torch.Generator().manual_seed(3)).double()
    share = (even + 0.5) / 1000
    expected = 1000 * shift * share / (1 + (shift - 1) * share)
    assert (drawn - expected).abs().max() <= 1 and drawn.dtype == torch.int64
    if shift == 1:
        assert torch.equal(drawn, even.long())


def test_weights_for_velocities_count_one_more_than_the_ratio() -> None:
    scheduler = create_scheduler()
    for timestep, weight in zip(TIMESTEPS, min_snr_weights(scheduler, TIMESTEPS, gamma=5.0), strict=True):
        alpha_bar = scheduler.alphas_cumprod[timestep].item()
        ratio = alpha_bar / (1 - alpha_bar) + 1
        assert weight.item() == pytest.approx(min(ratio, 5) / ratio, rel=1e-4)


def test_losses_of_half_precision_are_computed_in_float32() -> None:
    prediction = torch.full((1, 1, 1, 4), 300.0, dtype=torch.float16, requires_grad=True)
    loss = diffusion_loss(prediction, torch.zeros(1, 1, 1, 4, dtype=torch.float16))
    assert loss.dtype == torch.float32 and loss.item() == 90000  # beyond float16
    loss.sum().backward()
    assert prediction.grad.isfinite().all()


def test_a_rollout_of_no_way_changes_nothing() -> None:
    noised, timesteps = torch.randn(2, 4, 2, 2), torch.tensor([10, 700])
    found = rolled_out(
        noised,
        begin=timesteps,
        end=timesteps,
        num_steps=2,
        predict=lambda noised, at: torch.tanh(noised),
        scheduler=create_scheduler(ends_in_pure_noise=False),
    )
    torch.testing.assert_close(found, noised, rtol=1e-4, atol=1e-5)


def test_each_picture_of_a_rollout_goes_its_own_way() -> None:
    scheduler, noised = create_scheduler(), torch.randn(2, 4, 2, 2)
    known = {
        "num_steps": 3,
        "predict": lambda noised, at: torch.sin(noised + at.view(-1, 1, 1, 1)),
        "scheduler": scheduler,
    }
    begin, end = torch.tensor([999, 800]), torch.tensor([500, 20])
    together = rolled_out(noised, begin=begin, end=end, **known)
    for row in range(2):
        alone = rolled_out(noised[row : row + 1], begin=begin[row : row + 1], end=end[row : row + 1], **known)
        torch.testing.assert_close(together[row : row + 1], alone)


@pytest.mark.parametrize("is_sampled", [True, False])
def test_latents_carry_no_gradient_and_are_float32(is_sampled: bool) -> None:
    vae = create_vae(VaeSizes(widths=(8, 8), num_groups=4)).to(torch.bfloat16)
    pictures = torch.rand(2, 3, 8, 8, requires_grad=True)
    latents = encoded(vae, pictures, is_sampled=is_sampled)
    assert latents.shape == (2, 4, 4, 4) and latents.dtype == torch.float32 and not latents.requires_grad


def test_posteriors_are_drawn_by_their_generator() -> None:
    vae, picture = create_vae(VaeSizes(widths=(8, 8), num_groups=4)), torch.rand(1, 3, 8, 8)
    drawn = [
        encoded(vae, picture, is_sampled=True, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    with torch.no_grad():
        posterior = vae.encode(picture * 2 - 1).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn[0], posterior.mean + posterior.std * noise)
