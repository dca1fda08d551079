"""Losses between restored pictures and their ground truth, one value a picture, and what makes one number of them."""

import torch
from torch import Tensor
from torch.nn import functional

from ldrestore.errors import ShapeError
from ldrestore.metrics.ssim import C1, C2, WANG

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


def ssim_loss(restored: Tensor, gt: Tensor) -> Tensor:
    """1 - SSIM, Wang et al. 2004 (https://doi.org/10.1109/TIP.2003.819861), as `metrics.ssim` has it with `WANG`.

    Args:
        restored: (B, C, H, W); sides of 11 pixels at least.
        gt: Same shape, in [0, 1].

    Returns:
        (B,), float32, 0 for equal pictures.

    Raises:
        ShapeError: a side is too short for a window.
    """
    if min(restored.shape[-2:]) < WANG.side:
        raise ShapeError(f"SSIM needs {WANG.side} pixels a side at least, got {tuple(restored.shape[-2:])}")
    with torch.autocast(restored.device.type, enabled=False):
        x, y = restored.float(), gt.float()
        mean_x, mean_y, xx, yy, xy = (_windowed(values) for values in (x, y, x * x, y * y, x * y))
        luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
        spread = (xx - mean_x.square()) + (yy - mean_y.square())
        structure = (2 * (xy - mean_x * mean_y) + C2) / (spread + C2)
        return 1 - (luminance * structure).mean(dim=(1, 2, 3))


def _windowed(values: Tensor) -> Tensor:
    """Weighted means over all windows that lie whole in the picture."""
    weights = torch.from_numpy(WANG.weights()).to(values)
    channels = values.shape[1]
    rows = weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    return functional.conv2d(functional.conv2d(values, rows, groups=channels), rows.transpose(2, 3), groups=channels)


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
