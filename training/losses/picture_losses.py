"""Losses between restored pictures and their ground truth, one value a picture, and what makes one number of them."""

import torch
from torch import Tensor
from torch.nn import functional

RELATIVE_FLOOR = 2e-2
"""Added to a loss before its logarithm: about five 8-bit levels, so that pictures that are almost clean do not rule."""


def l1_loss(restored: Tensor, gt: Tensor) -> Tensor:
    """Mean absolute difference.

    Args:
        restored: (B, C, H, W).
        gt: Same shape, in [0, 1].

    Returns:
        (B,), float32.
    """
    return (restored.float() - gt.float()).abs().mean(dim=(1, 2, 3))


def fourier_l1_loss(restored: Tensor, gt: Tensor) -> Tensor:
    """Mean absolute difference of the spectra, real and imaginary parts apart.

    The MSFR loss of Cho et al. 2021, MIMO-UNet, Eq. 6 (https://arxiv.org/abs/2108.05054) on one scale, as MoCE-IR uses
    it with weight 0.1 (https://arxiv.org/abs/2411.18466): mean(|Re d|, |Im d|) over the rows and columns of `rfft2` of
    the difference d (the half that `fft2` adds is its mirror image). The transform is not normalised, as published: the
    value grows with the side of the patch; for an error without structure it is about 0.6 * sqrt(H * W) times
    its standard deviation. The transform runs in float32 under mixed precision too.

    Args:
        restored: (B, C, H, W).
        gt: Same shape, in [0, 1].

    Returns:
        (B,), float32.
    """
    spectrum = torch.fft.rfft2(restored.float() - gt.float())  # (B, C, H, W // 2 + 1)
    return torch.view_as_real(spectrum).abs().mean(dim=(1, 2, 3, 4))


def squared_loss(restored: Tensor, gt: Tensor) -> Tensor:
    """Mean squared difference.

    Where a network cannot yet tell whether a pixel is damaged, the median that L1 asks for is the input itself, and
    nothing is learned; the mean that this asks for is not.

    Args:
        restored: (B, C, H, W).
        gt: Same shape, in [0, 1].

    Returns:
        (B,), float32.
    """
    return (restored.float() - gt.float()).square().mean(dim=(1, 2, 3))


def estimate_loss(logits: Tensor, degradations: Tensor) -> Tensor:
    """Binary cross-entropy of a degradation estimate, in which each degradation may be there or not.

    Args:
        logits: (B, N).
        degradations: (B, N), in [0, 1], how far each is there.

    Returns:
        (B,), float32, the mean over the names.
    """
    return functional.binary_cross_entropy_with_logits(logits.float(), degradations.float(), reduction="none").mean(1)


def relative(losses: Tensor, floor: float = RELATIVE_FLOOR) -> Tensor:
    """Mean logarithm: a step counts by the share of a picture's own error that it takes away.

    The mean itself is ruled by the pictures that are worst off: a dark one has ten times the error of a noisy one, and
    all its pixels pull the same way. The PSNR loss of Chen et al. 2022 (NAFNet, https://arxiv.org/abs/2204.04676) is
    the same idea for the squared error.

    Args:
        losses: (B,), not negative.
        floor: Added before the logarithm, above 0.

    Returns:
        A scalar, at least log(floor).
    """
    return (losses + floor).log().mean()
