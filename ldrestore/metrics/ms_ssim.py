r"""Multi-scale structural similarity, Wang, Simoncelli and Bovik 2003 (https://doi.org/10.1109/ACSSC.2003.1292216).

MS-SSIM = mean(l · cs of the last scale)^w_M · Π mean(cs_j)^w_j, with means over the windows and then over the channels.
From scale to scale the pictures are halved by averaging 2 x 2 pixels; the last of an odd number of rows or columns is
left out. Negative means of cs count as 0, since no power of them is a real number.
"""

import numpy as np

from ldrestore.errors import ShapeError
from ldrestore.metrics.ssim import WANG, SsimWindow, ssim_terms

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first, of the paper."""


def ms_ssim(
    result: np.ndarray,
    gt: np.ndarray,
    *,
    peak: float = 255.0,
    window: SsimWindow = WANG,
    weights: tuple[float, ...] = WEIGHTS,
) -> float:
    """MS-SSIM of two pictures; 1 for the same.

    Args:
        result: (H, W, C), on the scale of `peak`.
        gt: Same shape.
        peak: Largest value that the scale has.
        window: Of the moments, on each scale.
        weights: Exponent of each scale, finest first.

    Raises:
        ShapeError: the shapes differ, or a side is too short for the last scale.
    """
    shortest = window.side * 2 ** (len(weights) - 1)
    if min(result.shape[:2]) < shortest:
        raise ShapeError(
            f"MS-SSIM of {len(weights)} scales needs at least {shortest} pixels a side, got "
            f"{result.shape[0]}x{result.shape[1]}; compare larger pictures, or take ssim"
        )
    value = np.ones(result.shape[2])  # (C,)
    for scale, weight in enumerate(weights):
        is_last = scale == len(weights) - 1
        means = [
            float((luminance * structure if is_last else structure).mean())
            for luminance, structure in ssim_terms(result, gt, peak=peak, window=window)
        ]
        value *= np.maximum(means, 0.0) ** weight
        if not is_last:
            result, gt = _halved(result), _halved(gt)
    return float(value.mean())


def _halved(picture: np.ndarray) -> np.ndarray:
    """(H, W, C) to (H // 2, W // 2, C) float64: means of 2 x 2 pixels."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    even = picture[: 2 * height, : 2 * width].astype(np.float64, copy=False)
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
