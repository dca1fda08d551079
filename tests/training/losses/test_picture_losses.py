import math

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


def test_fourier_loss_is_the_sum_over_waves_written_out() -> None:
    """F(u, v) = sum d(y, x) exp(-2 pi i (u y / H + v x / W)), u in 0 to H - 1 and v in 0 to W / 2."""
    generator = torch.Generator().manual_seed(0)
    restored, gt = torch.rand(2, 2, 3, 4, 5, generator=generator).unbind()
    rows, columns = torch.arange(4.0, dtype=torch.float64), torch.arange(5.0, dtype=torch.float64)
    expected = []
    for difference in (restored - gt).double():
        parts = []
        for u in range(4):
            for v in range(5 // 2 + 1):
                angle = 2 * math.pi * (u * rows[:, None] / 4 + v * columns[None] / 5)
                parts += [(difference * angle.cos()).sum((1, 2)).abs(), (difference * angle.sin()).sum((1, 2)).abs()]
        expected.append(torch.stack(parts).mean())
    torch.testing.assert_close(fourier_l1_loss(restored, gt).double(), torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_the_ssim_loss_of_one_window_is_the_formula() -> None:
    """Wang et al. 2004, Eq. 13, with a Gaussian window of 11 pixels and standard deviation 1.5."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(2, 11, 11, generator=generator, dtype=torch.float64).unbind()
    line = torch.exp(-((torch.arange(11.0, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2
    mean_x, mean_y = (window * x).sum(), (window * y).sum()
    variance_x, variance_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
    covariance = (window * (x - mean_x) * (y - mean_y)).sum()
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    found = ssim_loss(x[None, None].float(), y[None, None].float())
    assert found.item() == pytest.approx(1 - similarity.item(), abs=1e-5)


def test_the_ssim_loss_stays_in_float32_under_autocast() -> None:
    generator = torch.Generator().manual_seed(2)
    gt = torch.rand(1, 3, 16, 16, generator=generator)
    restored = (gt + 0.01 * torch.randn(1, 3, 16, 16, generator=generator)).clamp(0, 1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ssim_loss(restored, gt)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, ssim_loss(restored, gt))


def test_each_picture_has_a_loss_of_its_own() -> None:
    generator = torch.Generator().manual_seed(3)
    restored, gt = torch.rand(2, 3, 3, 12, 14, generator=generator).unbind()
    for loss in (l1_loss, fourier_l1_loss, squared_loss, ssim_loss):
        together = loss(restored, gt)
        alone = torch.cat([loss(restored[row : row + 1], gt[row : row + 1]) for row in range(3)])
        torch.testing.assert_close(together, alone)
        assert together.shape == (3,) and (together > 0).all()


def test_gradients_of_the_absolute_difference_are_signs() -> None:
    restored = torch.tensor([[[[0.5, 0.1, 0.3, 0.3]]]], requires_grad=True)
    l1_loss(restored, torch.tensor([[[[0.2, 0.4, 0.3, 0.9]]]])).sum().backward()
    assert restored.grad.flatten().tolist() == [0.25, -0.25, 0.0, -0.25]


def test_the_relative_loss_is_the_mean_logarithm_and_never_below_that_of_its_floor() -> None:
    losses = torch.tensor([0.0, 0.03, 0.48])
    expected = (math.log(0.02) + math.log(0.05) + math.log(0.5)) / 3
    assert relative(losses).item() == pytest.approx(expected, rel=1e-5)
    assert relative(torch.zeros(4), 1e-3).item() == pytest.approx(math.log(1e-3))


def test_the_estimate_s_loss_is_finite_for_sure_logits() -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    losses = estimate_loss(logits, torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(losses, torch.tensor([0.0, 200.0]))
    losses.sum().backward()
    assert logits.grad.isfinite().all()
