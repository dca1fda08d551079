"""Losses between a restored picture and its ground truth."""

import torch
from torch import Tensor
from torch.nn import functional as F


def l1_loss(restored: Tensor, gt: Tensor) -> Tensor:
    """Mean absolute difference.

    Args:
        restored: (B, C, H, W).
        gt: Same shape, in [0, 1].

    Returns:
        A scalar, float32.
    """
    return F.l1_loss(restored.float(), gt.float())


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
        A scalar, float32.
    """
    spectrum = torch.fft.rfft2(restored.float() - gt.float())  # (B, C, H, W // 2 + 1)
    return torch.view_as_real(spectrum).abs().mean()
