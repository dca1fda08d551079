import pytest
import torch

from ldrestore.errors import ShapeError
from ldrestore.metrics.ssim import ssim
from ldrestore.training.losses.picture_losses import (
    RELATIVE_FLOOR,
    estimate_loss,
    fourier_l1_loss,
    l1_loss,
    relative,
    squared_loss,
    ssim_loss,
)


@pytest.mark.parametrize("loss", [l1_loss, fourier_l1_loss])
def test_equal_pictures_cost_nothing(loss):
    picture = torch.rand(2, 3, 9, 10)
    assert torch.equal(loss(picture, picture), torch.zeros(2))


def test_fourier_loss_of_a_constant_difference_lies_in_one_frequency():
    gt = torch.rand(1, 3, 8, 8)
    # Of 8 x 5 frequencies x 2 parts, one value is 64 * 0.5.
    torch.testing.assert_close(fourier_l1_loss(gt + 0.5, gt), torch.tensor([64 * 0.5 / 80]))


def test_fourier_loss_of_noise_grows_with_the_side_of_the_patch():
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(1, 3, 64, 64, generator=generator)
    loss = fourier_l1_loss(noise, torch.zeros_like(noise))
    assert loss.item() == pytest.approx(0.564 * 64 * 0.1, rel=0.05)


def test_losses_are_float32_and_differentiable_under_half_precision():
    restored = torch.rand(1, 3, 6, 6, dtype=torch.bfloat16, requires_grad=True)
    loss = l1_loss(restored, torch.rand(1, 3, 6, 6)) + fourier_l1_loss(restored, torch.rand(1, 3, 6, 6))
    loss.sum().backward()
    assert loss.dtype == torch.float32 and torch.isfinite(restored.grad).all()


def test_relative_reduction_weighs_each_picture_by_its_own_error():
    losses = torch.tensor([0.3, 0.01], requires_grad=True)
    relative(losses).backward()
    torch.testing.assert_close(losses.grad * (losses.detach() + RELATIVE_FLOOR), torch.full((2,), 0.5))


def test_squared_loss_is_the_mean_square_of_each_picture():
    gt = torch.zeros(2, 3, 4, 4)
    restored = torch.stack([torch.full((3, 4, 4), 0.5), torch.zeros(3, 4, 4)])
    torch.testing.assert_close(squared_loss(restored, gt), torch.tensor([0.25, 0.0]))


def test_squared_loss_hedges_where_the_median_is_the_input():
    # A quarter of the pixels is wrong by 1, and nobody can tell which: L1 asks for no change, the square for the mean.
    error = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 2, 2)
    pulls = []
    for loss in (l1_loss, squared_loss):
        change = torch.full((1,), 0.01, requires_grad=True)
        loss(change.expand(1, 1, 2, 2), error).sum().backward()
        pulls.append(change.grad.item())
    assert pulls == pytest.approx([0.5, 2 * (0.01 - 0.25)])  # back to no change; on towards the mean


def test_estimate_loss_is_the_mean_cross_entropy_of_the_names():
    logits, degradations = torch.tensor([[0.3, -1.2]]), torch.tensor([[1.0, 0.5]])
    p = torch.sigmoid(logits)
    literal = -(degradations * p.log() + (1 - degradations) * (1 - p).log()).mean(dim=1)
    torch.testing.assert_close(estimate_loss(logits, degradations), literal)


def test_the_ssim_loss_is_one_minus_the_metric():
    generator = torch.Generator().manual_seed(0)
    gt = torch.rand(2, 3, 20, 17, generator=generator)
    restored = (gt + 0.1 * torch.randn(2, 3, 20, 17, generator=generator)).requires_grad_()
    losses = ssim_loss(restored, gt)
    for loss, one, other in zip(losses, restored.detach(), gt, strict=True):
        known = ssim(one.permute(1, 2, 0).double().numpy(), other.permute(1, 2, 0).double().numpy(), peak=1.0)
        assert 1 - loss.item() == pytest.approx(known, abs=1e-5)
    assert torch.allclose(ssim_loss(gt, gt), torch.zeros(2), atol=1e-5)
    losses.sum().backward()
    assert torch.isfinite(restored.grad).all()
    with pytest.raises(ShapeError, match="SSIM needs 11 pixels a side at least"):
        ssim_loss(gt[..., :8], gt[..., :8])
