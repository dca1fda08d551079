r"""Structural similarity, Wang et al. 2004 (https://doi.org/10.1109/TIP.2003.819861).

SSIM = mean of l · cs over all windows that lie whole in the picture, and over the channels, with

l = (2 μx μy + C1) / (μx² + μy² + C1), cs = (2 σxy + C2) / (σx² + σy² + C2), C1 = (0.01 L)², C2 = (0.03 L)².

Implementations differ in the window (Gaussian of 11, or 7 equal weights), in the covariance (of a sample, or of the
window itself) and in the channels; `SsimWindow` names the first two, and the third is here always the mean over them.
MATLAB's `ssim` of an RGB picture takes it for a volume instead, and is not reproduced.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from ldrestore.errors import ShapeError

C1, C2 = 0.01**2, 0.03**2
"""Of a scale of 1."""

_TRUNCATE = 3.5
"""Radius of the Gaussian window in multiples of sigma, rounded: 5 pixels for sigma 1.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SsimWindow:
    """Where the moments are taken, and how."""

    kind: Literal["gaussian", "uniform"] = "gaussian"
    """Weights: those of a Gaussian, or equal ones."""
    sigma: float = 1.5
    """Of the Gaussian, in pixels; its radius is 3.5 sigma, rounded."""
    size: int = 7
    """Side of the uniform window in pixels, odd."""
    has_sample_covariance: bool = False
    """Whether variances are those of a sample, N / (N - 1) times as large, as scikit-image has them by default."""

    @property
    def side(self) -> int:
        """Pixels along one side."""
        return 2 * int(_TRUNCATE * self.sigma + 0.5) + 1 if self.kind == "gaussian" else self.size

    def weights(self) -> np.ndarray:
        """(side,) float64, of one axis; their sum is 1."""
        if self.kind == "uniform":
            return np.full(self.size, 1 / self.size)
        places = np.arange(self.side) - self.side // 2
        weights = np.exp(-0.5 * np.square(places / self.sigma))
        return weights / weights.sum()


WANG = SsimWindow()
"""The window of the paper."""

Moments = tuple[np.ndarray, np.ndarray]
"""Luminance term l and contrast-structure term cs of one channel, (H - side + 1, W - side + 1)."""


def ssim(result: np.ndarray, gt: np.ndarray, *, peak: float = 255.0, window: SsimWindow = WANG) -> float:
    """SSIM of two pictures: the mean over all whole windows and channels; 1 for the same.

    Args:
        result: (H, W, C), on the scale of `peak`.
        gt: Same shape.
        peak: Largest value that the scale has.
        window: Of the moments.

    Raises:
        ShapeError: the shapes differ, or a side is shorter than the window.
    """
    maps = ssim_terms(result, gt, peak=peak, window=window)
    return float(np.mean([(luminance * structure).mean() for luminance, structure in maps]))


def ssim_terms(result: np.ndarray, gt: np.ndarray, *, peak: float, window: SsimWindow = WANG) -> Iterator[Moments]:
    """The two terms of each channel, one channel after the other.

    Args:
        result: (H, W, C), on the scale of `peak`.
        gt: Same shape.
        peak: Largest value that the scale has.
        window: Of the moments.

    Raises:
        ShapeError: the shapes differ, or a side is shorter than the window.
    """
    if result.shape != gt.shape or result.ndim != 3:
        raise ShapeError(f"expected two pictures (H, W, C) of one shape, got {result.shape} and {gt.shape}")
    if min(result.shape[:2]) < window.side:
        raise ShapeError(f"{result.shape[0]}x{result.shape[1]} is smaller than the window of {window.side} pixels")
    for channel in range(result.shape[2]):
        yield _terms(result[..., channel] / peak, gt[..., channel] / peak, window)


def _terms(x: np.ndarray, y: np.ndarray, window: SsimWindow) -> Moments:
    """Both terms of one channel in [0, 1]."""
    area = window.side**2
    factor = area / (area - 1) if window.has_sample_covariance else 1.0
    mean_x, mean_y = _averaged(x, window), _averaged(y, window)
    var_x = factor * (_averaged(x * x, window) - mean_x * mean_x)
    var_y = factor * (_averaged(y * y, window) - mean_y * mean_y)
    cov = factor * (_averaged(x * y, window) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
    return luminance, (2 * cov + C2) / (var_x + var_y + C2)


def _averaged(channel: np.ndarray, window: SsimWindow) -> np.ndarray:
    """Weighted mean in each window that lies whole in (H, W): (H - side + 1, W - side + 1) float64."""
    weights, margin = window.weights(), math.floor(window.side / 2)
    means = cv2.sepFilter2D(channel.astype(np.float64, copy=False), cv2.CV_64F, weights, weights)
    return means[margin : means.shape[0] - margin, margin : means.shape[1] - margin]
