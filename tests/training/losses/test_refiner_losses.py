"""Losses of the refined decoder against their definitions, and their gradients where they could break."""

import math

import pytest
import torch
from torch.nn import functional as F

from ldrestore.errors import ConfigError
from ldrestore.training.losses.refiner_losses import (
    PerceptualLoss,
    RefinerLossWeights,
    adversarial_loss,
    colour_loss,
    discriminator_loss,
    refiner_losses,
)


def pictures(batch=2, size=(48, 40)):
    generator = torch.Generator().manual_seed(0)
    return [0.1 + 0.9 * torch.rand(batch, 3, *size, generator=generator) for _ in range(2)]


def test_colour_is_the_mean_angle_between_the_vectors():
    restored, gt = pictures()
    angles = torch.acos(F.cosine_similarity(restored, gt, dim=1).clamp(-1, 1))  # (B, H, W)
    torch.testing.assert_close(colour_loss(restored, gt), angles.mean(dim=(1, 2)), rtol=0.01, atol=0)
    red, green = torch.zeros(2, 1, 3, 4, 4).unbind()
    red[:, 0], green[:, 1] = 1, 1
    assert colour_loss(red, green).item() == pytest.approx(math.pi / 2, abs=0.01)


def test_brightness_does_not_change_the_colour():
    _, gt = pictures()
    assert torch.equal(colour_loss(gt, gt), torch.zeros(2))
    assert colour_loss(gt / 2, gt).max() < 1e-6


@pytest.mark.parametrize("value", [0.0, 1e-8, 0.5, -0.3, 2.0])
def test_gradients_of_the_colour_are_finite_everywhere(value):
    for gt in (torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), value).clamp(0, 1), pictures(1, (4, 4))[1]):
        restored = torch.full((1, 3, 4, 4), value, requires_grad=True)
        loss = colour_loss(restored, gt)
        loss.sum().backward()
        assert loss.isfinite().all() and restored.grad.isfinite().all()
        assert restored.grad.abs().max() <= 1e3


def test_the_colour_in_half_precision():
    restored, gt = pictures()
    torch.testing.assert_close(colour_loss(restored.half(), gt.half()), colour_loss(restored, gt), rtol=0.01, atol=0)


@pytest.fixture(scope="module")
def perceptual():
    pytest.importorskip("stlpips_pytorch")
    return PerceptualLoss().train()


def test_the_perceptual_loss_is_zero_for_equal_pictures_and_grows_with_the_error(perceptual):
    restored, gt = pictures(size=(64, 64))
    noise = restored - restored.mean()
    near, far = perceptual(gt + 0.05 * noise, gt), perceptual(gt + 0.5 * noise, gt)
    assert torch.equal(perceptual(gt, gt), torch.zeros(2))
    assert near.shape == (2,) and (near > 0).all() and (near < far).all()
    torch.testing.assert_close(perceptual(restored[:1], gt[:1]), perceptual(restored, gt)[:1], rtol=1e-4, atol=1e-6)


def test_the_perceptual_loss_trains_the_picture_alone(perceptual):
    restored, gt = pictures(size=(32, 32))
    restored.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = perceptual(restored, gt)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert restored.grad.isfinite().all() and restored.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in perceptual.parameters())
    assert not perceptual.network.training


def test_hinges():
    restored_scores, gt_scores = torch.tensor([[-2.0, 0.5], [1.0, -1.0]]), torch.tensor([[3.0, 0.0], [1.0, -1.0]])
    shaped = [scores.view(2, 1, 1, 2) for scores in (restored_scores, gt_scores)]
    assert adversarial_loss(shaped[0]).tolist() == [0.75, 0.0]
    assert discriminator_loss(*shaped).tolist() == [(0 + 1.5 + 0 + 1) / 2, (2 + 0 + 0 + 2) / 2]


def test_losses_carry_their_weights(perceptual):
    restored, gt = pictures()
    weights = RefinerLossWeights(l1=2.0, colour=0.5, perceptual=0.25, adversarial=0.01)
    losses = refiner_losses(
        restored, gt, weights=weights, perceptual=perceptual, restored_scores=torch.ones(2, 1, 3, 3)
    )
    expected = {
        "l1": 2 * (restored - gt).abs().mean(dim=(1, 2, 3)),
        "colour": 0.5 * colour_loss(restored, gt),
        "perceptual": 0.25 * perceptual(restored, gt),
        "adversarial": torch.full((2,), -0.01),
    }
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], msg=name)


def test_what_counts_nothing_is_not_computed():
    restored, gt = pictures()
    weights = RefinerLossWeights(colour=0, perceptual=0, adversarial=0)
    scores = torch.ones(2, 1, 3, 3)
    assert set(refiner_losses(restored, gt, weights=weights, perceptual=None, restored_scores=scores)) == {"l1"}
    with pytest.raises(ConfigError, match="needs the perceptual loss"):
        refiner_losses(restored, gt, weights=RefinerLossWeights(), perceptual=None)


def test_wrong_weights_are_refused():
    with pytest.raises(ConfigError, match="got negative colour"):
        RefinerLossWeights(colour=-0.1)
    with pytest.raises(ConfigError, match=r"at most 0\.01, or it rules over l1, got 0\.1"):
        RefinerLossWeights(adversarial=0.1)
    with pytest.raises(ConfigError, match=r"\[0, 1\], got 2000"):
        RefinerLossWeights(adversarial_from=2000)


def test_scores_beyond_the_hinges_are_pulled_no_further() -> None:
    restored_scores = torch.tensor([-1.5, -0.5, 0.5]).view(1, 1, 1, 3).requires_grad_()
    gt_scores = torch.tensor([1.5, 0.5, -0.5]).view(1, 1, 1, 3).requires_grad_()
    discriminator_loss(restored_scores, gt_scores).sum().backward()
    torch.testing.assert_close(restored_scores.grad.flatten(), torch.tensor([0.0, 1.0, 1.0]) / 3)
    torch.testing.assert_close(gt_scores.grad.flatten(), torch.tensor([0.0, -1.0, -1.0]) / 3)


def test_the_restorer_is_always_pulled_to_higher_scores() -> None:
    scores = torch.tensor([-5.0, 0.0, 5.0, 1.0]).view(1, 1, 2, 2).requires_grad_()
    adversarial_loss(scores).sum().backward()
    assert scores.grad.flatten().tolist() == [-0.25] * 4


def test_colour_is_the_arc_tangent_with_its_floor() -> None:
    restored, gt = (torch.tensor(colour).view(1, 3, 1, 1) for colour in ((0.3, 0.1, 0.4), (0.2, 0.5, 0.1)))
    a, b = (0.3, 0.1, 0.4), (0.2, 0.5, 0.1)
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    length = math.sqrt(sum(value**2 for value in cross) + 1e-6) - 1e-3
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    assert colour_loss(restored, gt).item() == pytest.approx(math.atan2(length, dot + 1e-3), rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"adversarial": 0.01}, {"adversarial_from": 0.0}, {"adversarial_from": 1.0}, {"l1": 0.0}]
)
def test_weights_at_their_bounds_are_taken(options: dict[str, float]) -> None:
    weights = RefinerLossWeights(**options)
    assert all(getattr(weights, name) == value for name, value in options.items())


def test_before_the_judge_takes_part_its_weight_counts_nothing() -> None:
    restored, gt = pictures()
    weights = RefinerLossWeights(colour=0, perceptual=0, adversarial=0.01)
    assert set(refiner_losses(restored, gt, weights=weights, perceptual=None)) == {"l1"}
