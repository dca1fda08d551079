"""The latent diffusion loss by its config: upon which noise, with which weights, and which pass gives gradients."""

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from ldrestore.errors import ConfigError
from ldrestore.training.losses.diffusion_loss import noise_between, prediction_target, rolled_out
from ldrestore.training.losses.restoring_loss import DiffusionLossConfig, restoring_loss
from ldrestore.training.networks.small_prior import create_scheduler

LATENTS = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(7))
SCHEDULERS = {"epsilon": DDIMScheduler(), "v_prediction": create_scheduler(ends_in_pure_noise=False)}

CONFIGS = {
    "plain": {},
    "absolute": {"norm": "absolute"},
    "min_snr": {"min_snr_gamma": 5.0},
    "shifted": {"timestep_shift": 3.0},
    "dream": {"dream": 1.0},
    "dream from pure noise": {"dream": 0.5, "dream_from": "pure_noise"},
    "rollout": {"rollout_steps": 3, "min_snr_gamma": 5.0},
}


class Recorder(nn.Module):
    """A model of one weight that keeps what it was shown and what it made of it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.3))
        self.passes: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, noised: Tensor, timesteps: Tensor) -> Tensor:
        output = self.scale * torch.tanh(noised)
        self.passes.append((noised, timesteps, output))
        return output


def alpha_bar(scheduler: DDIMScheduler, timesteps: Tensor) -> Tensor:
    """(B, 1, 1, 1)."""
    return scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)


def computed(kind: str, seed: int = 4, **options: object) -> tuple[Tensor, dict[str, Tensor], Recorder, Tensor, Tensor]:
    """Loss, parts, model; and the timesteps and the noise that the same random numbers give."""
    torch.manual_seed(seed)
    model = Recorder()
    loss, parts = restoring_loss(model, LATENTS, scheduler=SCHEDULERS[kind], config=DiffusionLossConfig(**options))
    torch.manual_seed(seed)
    return loss, parts, model, torch.randint(1000, (3,)), torch.randn_like(LATENTS)


def literal_target(kind: str, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Epsilon, or the velocity of Salimans and Ho."""
    signal = alpha_bar(SCHEDULERS[kind], timesteps)
    return noise if kind == "epsilon" else signal.sqrt() * noise - (1 - signal).sqrt() * LATENTS


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize("norm", ["squared", "absolute"])
def test_the_plain_loss_is_equation_1(kind: str, norm: str) -> None:
    loss, parts, model, timesteps, noise = computed(kind, norm=norm)
    ((noised, at, output),) = model.passes
    signal = alpha_bar(SCHEDULERS[kind], timesteps)
    assert torch.equal(at, timesteps)
    torch.testing.assert_close(noised, signal.sqrt() * LATENTS + (1 - signal).sqrt() * noise)
    difference = output - literal_target(kind, noise, timesteps)
    torch.testing.assert_close(loss, (difference**2 if norm == "squared" else difference.abs()).mean())
    assert parts.keys() == {norm} and torch.equal(parts[norm], loss)


@pytest.mark.parametrize(("kind", "gamma"), [("epsilon", 0.01), ("v_prediction", 1.01)])
def test_weights_of_min_snr_count_in_the_loss_and_not_in_what_is_logged(kind: str, gamma: float) -> None:
    loss, parts, model, timesteps, noise = computed(kind, min_snr_gamma=gamma)
    ((_, _, output),) = model.passes
    errors = (output - literal_target(kind, noise, timesteps)).square().mean(dim=(1, 2, 3))
    signal = alpha_bar(SCHEDULERS[kind], timesteps).flatten()
    snr = signal / (1 - signal)
    expected = [
        min(value, gamma) / value if kind == "epsilon" else min(value + 1, gamma) / (value + 1)
        for value in snr.tolist()
    ]
    torch.testing.assert_close(loss, (errors * torch.tensor(expected)).mean())
    torch.testing.assert_close(parts["squared"], errors.mean())
    assert loss < parts["squared"]


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_dream_is_the_paper_s_shift_of_noise_at_the_same_timestep(kind: str) -> None:
    loss, _, model, timesteps, noise = computed(kind, dream=2.0)
    (shown, first, guess), (shifted, second, output) = model.passes
    signal = alpha_bar(SCHEDULERS[kind], timesteps)
    sigma = (1 - signal).sqrt()
    guessed_noise = guess if kind == "epsilon" else signal.sqrt() * guess + sigma * shown
    moved = noise + sigma**2 * (noise - guessed_noise)
    assert torch.equal(first, timesteps) and torch.equal(second, timesteps)
    torch.testing.assert_close(shifted, signal.sqrt() * LATENTS + sigma * moved, rtol=1e-4, atol=1e-4)
    target = literal_target(kind, moved, timesteps)
    torch.testing.assert_close(loss, (output - target).square().mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_steps", [1, 3])
def test_a_rollout_trains_upon_what_sampling_comes_to(num_steps: int) -> None:
    scheduler = SCHEDULERS["v_prediction"]
    loss, _, model, timesteps, noise = computed("v_prediction", rollout_steps=num_steps)
    last = torch.full_like(timesteps, 999)
    assert len(model.passes) == num_steps + 1 and torch.equal(model.passes[0][1], last)
    reached = rolled_out(
        scheduler.add_noise(LATENTS, noise, last),
        begin=last,
        end=timesteps,
        num_steps=num_steps,
        predict=model,
        scheduler=scheduler,
    ).detach()
    shown, at, output = model.passes[num_steps]
    torch.testing.assert_close(shown, reached, rtol=1e-4, atol=1e-4)
    known = {"timesteps": at, "scheduler": scheduler}
    target = prediction_target(scheduler, LATENTS, noise_between(reached, LATENTS, **known), at)
    torch.testing.assert_close(loss, (output - target).square().mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", SCHEDULERS)
@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_a_model_that_knows_the_latents_pays_nothing(kind: str, options: dict[str, object]) -> None:
    scheduler = SCHEDULERS[kind]

    def knowing(noised: Tensor, timesteps: Tensor) -> Tensor:
        noise = noise_between(noised, LATENTS, timesteps=timesteps, scheduler=scheduler)
        return prediction_target(scheduler, LATENTS, noise, timesteps)

    torch.manual_seed(1)
    loss, parts = restoring_loss(knowing, LATENTS, scheduler=scheduler, config=DiffusionLossConfig(**options))
    assert loss < 1e-4 and all(part < 1e-4 for part in parts.values())


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_only_the_last_pass_gives_gradients(options: dict[str, object]) -> None:
    loss, _, model, _, _ = computed("v_prediction", **options)
    loss.backward()
    assert model.scale.grad is not None and model.scale.grad.isfinite() and model.scale.grad != 0
    assert [output.requires_grad for _, _, output in model.passes] == [False] * (len(model.passes) - 1) + [True]
    assert len(model.passes) == {"dream": 2, "rollout": 4}.get(next((key.split("_")[0] for key in options), ""), 1)


def test_a_schedule_that_ends_in_pure_noise_has_finite_losses_at_its_last_step() -> None:
    scheduler = create_scheduler()
    for options in CONFIGS.values():
        config = DiffusionLossConfig(**{**options, "timestep_shift": 1e9})  # every timestep is the last one
        model = Recorder()
        loss, parts = restoring_loss(model, LATENTS, scheduler=scheduler, config=config)
        assert (model.passes[-1][1] == 999).all()
        assert loss.isfinite() and all(part.isfinite() for part in parts.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dream": -0.1}, r"loss\.dream must be at least 0, got -0\.1; write null for none"),
        ({"rollout_steps": 0}, r"loss\.rollout_steps must be at least 1, got 0; write null for none"),
        ({"rollout_steps": 2, "dream": 0.0}, r"exclude each other; write null for one of them"),
        ({"min_snr_gamma": 0.0}, r"loss\.min_snr_gamma must be positive, got 0\.0; write null for none"),
        ({"timestep_shift": -1.0}, r"loss\.timestep_shift must be positive, got -1\.0; 1 draws all alike"),
    ],
)
def test_wrong_options_say_what_to_write(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DiffusionLossConfig(**options)
