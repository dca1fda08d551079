import pytest
import torch

from ldrestore.training.losses import RELATIVE_FLOOR, fourier_l1_loss, l1_loss, relative


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
