"""Colour fixes: the tones of the input given back to a result whose tones have drifted."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.errors import ShapeError

_BINOMIAL = (1 / 4, 1 / 2, 1 / 4)


def wavelet_color_fix(restored: Tensor, lq: Tensor, *, levels: int = 5) -> Tensor:
    """Keep the details of the result and take the low frequencies of the input.

    An undecimated (a trous) wavelet decomposition, Holschneider et al. 1990, with binomial low-pass filters whose taps
    lie 2^i pixels apart at level i; StableSR, Wang et al. 2023, section 3.4 (https://arxiv.org/abs/2305.07015).

    Args:
        restored: (B, 3, H, W).
        lq: Same shape.
        levels: How often the low-pass filter is applied; more keeps larger structures of the result.

    Returns:
        (B, 3, H, W), not clamped.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_shapes(restored, lq)
    return restored + _low_frequencies(lq - restored, levels=levels)  # the decomposition is linear


def adain_color_fix(restored: Tensor, lq: Tensor) -> Tensor:
    """Give each channel of the result the mean and standard deviation of the input's.

    Adaptive instance normalisation, Huang and Belongie 2017, Eq. 8 (https://arxiv.org/abs/1703.06868).

    Args:
        restored: (B, 3, H, W).
        lq: Same shape.

    Returns:
        (B, 3, H, W), not clamped.

    Raises:
        ShapeError: the shapes differ.
    """
    _check_shapes(restored, lq)
    axes = (-2, -1)
    restored_deviation, restored_mean = torch.std_mean(restored, dim=axes, keepdim=True, correction=0)
    deviation, mean = torch.std_mean(lq, dim=axes, keepdim=True, correction=0)
    return (restored - restored_mean) * (deviation / (restored_deviation + 1e-5)) + mean


def _low_frequencies(x: Tensor, *, levels: int) -> Tensor:
    """Low-pass of (B, C, H, W) by `levels` a trous filters, borders replicated."""
    num_channels = x.shape[1]
    taps = torch.tensor(_BINOMIAL, dtype=x.dtype, device=x.device)
    kernel = torch.outer(taps, taps).expand(num_channels, 1, 3, 3)
    for level in range(levels):
        spacing = 2**level
        padded = F.pad(x, (spacing,) * 4, mode="replicate")
        x = F.conv2d(padded, kernel, groups=num_channels, dilation=spacing)
    return x


def _check_shapes(restored: Tensor, lq: Tensor) -> None:
    """Refuse pictures of different shapes.

    Raises:
        ShapeError: they differ.
    """
    if restored.shape != lq.shape or restored.ndim != 4:
        raise ShapeError(
            f"restored and lq must have the same shape (B, 3, H, W), got {tuple(restored.shape)} and {tuple(lq.shape)}"
        )
