"""Which latents a decoder is trained upon."""

import pytest
import torch
from torch import Tensor

from ldrestore.errors import ConfigError
from ldrestore.training.networks.small_prior import VaeSizes, create_vae
from ldrestore.training.tasks.decoded_latents import RefinerLatentsConfig, latents_to_decode


@pytest.fixture(scope="module")
def vae() -> torch.nn.Module:
    torch.manual_seed(0)
    vae = create_vae(VaeSizes(widths=(8, 8), num_groups=4))
    vae.register_to_config(scaling_factor=0.5)
    return vae.eval()


def gt_of(batch: int) -> Tensor:
    return torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def clean(vae: torch.nn.Module, gt: Tensor) -> Tensor:
    """Scaled modes of the ground truth."""
    with torch.no_grad():
        return 0.5 * vae.encode(gt * 2 - 1).latent_dist.mode()


class Sampler:
    """Gives latents of 7, and keeps for how many pictures and in how many steps."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, num: int, steps: int) -> Tensor:
        self.calls.append((num, steps))
        return torch.full((num, 4, 4, 4), 7.0)


def decoded(vae: torch.nn.Module, batch: int, **options: float) -> tuple[Tensor, list[tuple[int, int]]]:
    sample = Sampler()
    latents = latents_to_decode(gt_of(batch), vae=vae, config=RefinerLatentsConfig(**options), sample=sample)
    return latents, sample.calls


def test_samples_come_first_and_the_others_are_those_of_the_ground_truth(vae: torch.nn.Module) -> None:
    latents, calls = decoded(vae, 4, sampled_share=0.5, max_noise=0.0, min_steps=3, max_steps=3)
    assert calls == [(2, 3)] and (latents[:2] == 7).all()
    torch.testing.assert_close(latents[2:], clean(vae, gt_of(4))[2:])
    assert latents.dtype == torch.float32 and not latents.requires_grad


@pytest.mark.parametrize(("share", "num_sampled"), [(0.0, 0), (1.0, 3)])
def test_all_or_none_may_be_samples(vae: torch.nn.Module, share: float, num_sampled: int) -> None:
    latents, calls = decoded(vae, 3, sampled_share=share, max_noise=0.0)
    assert [num for num, _ in calls] == [num_sampled] * bool(num_sampled)
    assert int((latents == 7).all(dim=(1, 2, 3)).sum()) == num_sampled and len(latents) == 3


def test_what_is_left_of_a_picture_is_drawn_so_that_the_share_holds_in_the_mean(vae: torch.nn.Module) -> None:
    torch.manual_seed(0)
    config, sample = RefinerLatentsConfig(sampled_share=0.6, max_noise=0.0), Sampler()
    for _ in range(150):
        latents_to_decode(gt_of(3), vae=vae, config=config, sample=sample)
    counts = [num for num, _ in sample.calls]
    assert set(counts) == {1, 2} and sum(counts) / 150 == pytest.approx(1.8, abs=0.12)


def test_each_batch_draws_its_steps_between_the_bounds(vae: torch.nn.Module) -> None:
    torch.manual_seed(0)
    config, sample = RefinerLatentsConfig(sampled_share=1.0, min_steps=2, max_steps=5), Sampler()
    for _ in range(80):
        latents_to_decode(gt_of(1), vae=vae, config=config, sample=sample)
    assert {steps for _, steps in sample.calls} == {2, 3, 4, 5}


def test_each_picture_has_noise_of_its_own_strength_evenly_from_none(vae: torch.nn.Module) -> None:
    torch.manual_seed(0)
    gt = gt_of(1).expand(300, -1, -1, -1)
    config = RefinerLatentsConfig(sampled_share=0.0, max_noise=0.4)
    noise = latents_to_decode(gt, vae=vae, config=config, sample=Sampler()) - clean(vae, gt_of(1))
    spreads = noise.std(dim=(1, 2, 3))
    assert spreads.mean().item() == pytest.approx(0.2, abs=0.02) and spreads.max() < 0.6
    assert (spreads < 0.1).float().mean().item() == pytest.approx(0.25, abs=0.08)
    assert noise.mean().abs() < 0.02


@pytest.mark.parametrize(
    "options",
    [{"sampled_share": 1.1}, {"sampled_share": -0.1}, {"min_steps": 0}, {"min_steps": 9}, {"max_noise": -1.0}],
)
def test_wrong_options_name_what_was_expected(options: dict[str, float]) -> None:
    (value,) = options.values()
    with pytest.raises(ConfigError, match=rf"expected sampled_share in \[0, 1\], 1 <= min_steps .*{value}"):
        RefinerLatentsConfig(**options)
