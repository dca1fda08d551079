r"""Peak signal-to-noise ratio.

PSNR = 10 log10(peak² / MSE), with the mean square error over all pixels and channels. The PSNR of equal pictures is
infinite; whoever averages names a cap.
"""

import math

import numpy as np

from ldrestore.errors import ShapeError

MEAN_CAP = 100.0
"""In dB: what equal pictures count as in means of training, explanations and scripts."""

_ROWS = 256
"""As many rows are compared at once, so that a large picture has no float64 copy."""


def psnr(result: np.ndarray, gt: np.ndarray, *, peak: float = 255.0, cap: float = math.inf) -> float:
    """PSNR in dB of two pictures over all their values.

    Args:
        result: Any shape and number type, on the scale of `peak`; no value is clipped or rounded here.
        gt: Same shape.
        peak: Largest value that the scale has: 255 for 8 bits, 1 for [0, 1].
        cap: What equal pictures give, and at most.

    Raises:
        ShapeError: the shapes differ.
    """
    if result.shape != gt.shape:
        raise ShapeError(f"cannot compare pictures of shapes {result.shape} and {gt.shape}; bring them to one size")
    squares = 0.0
    for start in range(0, len(result), _ROWS):
        difference = result[start : start + _ROWS].astype(np.float64)
        difference -= gt[start : start + _ROWS]
        squares += float(np.square(difference, out=difference).sum())
    return decibels(squares / result.size, peak=peak, cap=cap)


def decibels(mean_square: float, *, peak: float = 255.0, cap: float = math.inf) -> float:
    """A mean square error as PSNR in dB.

    Args:
        mean_square: At least 0, in units of the scale.
        peak: Largest value of the scale.
        cap: What 0 gives, and at most.

    Returns:
        NaN for what is no number, so that no broken picture passes for a perfect one.
    """
    if mean_square == 0:
        return cap
    if mean_square == math.inf:
        return -math.inf
    value = 10 * math.log10(peak**2 / mean_square)
    return cap if value > cap else value  # min(cap, NaN) would be the cap
