r"""NIQE, Mittal, Soundararajan and Bovik 2013 (https://doi.org/10.1109/LSP.2012.2227726): no ground truth is needed.

The picture's luma is cut into blocks of 96 x 96; of each, at two scales, the values normalised by their neighbourhood
(MSCN) are fitted by a generalised Gaussian and the products of neighbours in four directions by asymmetric ones: 36
features. NIQE is the distance of their Gaussian from that of pristine pictures,
sqrt((ν1 − ν2)ᵀ ((Σ1 + Σ2) / 2)⁺ (ν1 − ν2)); lower is better.

As in the authors' MATLAB code blocks do not overlap, all of them count, the last rows and columns that fill no block
are left out, and the second scale is MATLAB's bicubic reduction; the luma is that of its `rgb2gray`, rounded. In even
areas the coefficients are 0, but computed they are rounding errors of either sign, which the fits count: of one picture
of the calibration table that alone makes 8.93 of 8.64. Here they are set to 0 (8.67), so that machines agree.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ldrestore.errors import ShapeError

BLOCK = 96
"""Side of the blocks at the first scale, in pixels."""

_GREY = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])
"""Of MATLAB's `rgb2gray`, in full."""
_SMALLEST = 1e-9
"""Coefficients below are taken for rounding errors."""
_SHAPES = np.arange(0.2, 10.0005, 0.001)
"""Shapes of the generalised Gaussian that are tried."""
_WINDOW_SIDE, _WINDOW_SIGMA = 7, 7 / 6
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Rows and columns to the neighbours whose products are fitted: right, below, and the two diagonals."""


@dataclass(frozen=True, slots=True, eq=False)
class Pristine:
    """The Gaussian of undamaged pictures' features."""

    mean: np.ndarray
    """(36,)."""
    covariance: np.ndarray
    """(36, 36)."""


def niqe(picture: np.ndarray, pristine: Pristine) -> float:
    """NIQE of one picture, at least 0, lower is better; NaN where fewer than two blocks are more than even areas.

    Args:
        picture: (H, W, 3), RGB on a scale of 255.
        pristine: What it is held against.

    Raises:
        ShapeError: fewer than two blocks fit, of which no covariance can be taken.
    """
    rows, columns = picture.shape[0] // BLOCK, picture.shape[1] // BLOCK
    if rows * columns < 2:
        raise ShapeError(
            f"NIQE needs at least two blocks of {BLOCK}x{BLOCK}, got {picture.shape[0]}x{picture.shape[1]}"
        )
    luma = np.rint(picture[: rows * BLOCK, : columns * BLOCK] @ _GREY)  # (h, w)
    features = np.concatenate([_features(luma, BLOCK), _features(_halved(luma), BLOCK // 2)], axis=1)  # (N, 36)
    known = features[~np.isnan(features).any(axis=1)]
    if len(known) < 2:
        return math.nan
    difference = pristine.mean - np.nanmean(features, axis=0)
    pooled = (pristine.covariance + np.cov(known, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))


def _features(luma: np.ndarray, side: int) -> np.ndarray:
    """The 18 features of each block at one scale: (N, 18)."""
    blocks = _blocks(_normalised(luma), side)  # (N, side, side)
    shape, left, right = _fitted(blocks)
    columns = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right = _fitted(blocks * np.roll(blocks, shift, axis=(1, 2)))
        mean = (right - left) * _gamma(2 / shape) / _gamma(1 / shape)
        columns += [shape, mean, left, right]
    return np.stack(columns, axis=1)


def _normalised(luma: np.ndarray) -> np.ndarray:
    """MSCN coefficients, Eq. 1: each value less the mean of its neighbourhood, over its deviation and one."""
    places = np.arange(_WINDOW_SIDE) - _WINDOW_SIDE // 2
    weights = np.exp(-0.5 * np.square(places / _WINDOW_SIGMA))
    weights /= weights.sum()

    def averaged(values: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(values, cv2.CV_64F, weights, weights, borderType=cv2.BORDER_REPLICATE)

    mean = averaged(luma)
    deviation = np.sqrt(np.abs(averaged(luma * luma) - mean * mean))
    coefficients = (luma - mean) / (deviation + 1)
    return np.where(np.abs(coefficients) < _SMALLEST, 0.0, coefficients)


def _blocks(values: np.ndarray, side: int) -> np.ndarray:
    """(H, W), multiples of `side`, to (N, side, side)."""
    rows, columns = values.shape[0] // side, values.shape[1] // side
    return values.reshape(rows, side, columns, side).transpose(0, 2, 1, 3).reshape(-1, side, side)


def _fitted(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape and left and right scale of an asymmetric generalised Gaussian, by moments (Lasmar et al. 2009).

    Args:
        blocks: (N, side, side).

    Returns:
        Three times (N,); NaN where a block has values of one sign alone.
    """
    flat = blocks.reshape(len(blocks), -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (
            np.sqrt((np.square(flat) * is_side).sum(axis=1) / is_side.sum(axis=1)) for is_side in (flat < 0, flat > 0)
        )
        skew = left / right
        ratio = np.square(np.abs(flat).mean(axis=1)) / np.square(flat).mean(axis=1)
        ratio *= (skew**3 + 1) * (skew + 1) / np.square(skew**2 + 1)
    known = np.square(_gamma(2 / _SHAPES)) / (_gamma(1 / _SHAPES) * _gamma(3 / _SHAPES))  # falls nowhere: sorted
    above = np.clip(np.searchsorted(known, ratio), 1, len(known) - 1)
    index = np.where(ratio - known[above - 1] <= known[above] - ratio, above - 1, above)
    shape = np.where(np.isnan(ratio), _SHAPES[0], _SHAPES[index])
    factor = np.sqrt(_gamma(1 / shape) / _gamma(3 / shape))
    return shape, left * factor, right * factor


def _gamma(values: np.ndarray) -> np.ndarray:
    """The gamma function of positive values."""
    return torch.lgamma(torch.from_numpy(np.asarray(values, np.float64))).exp().numpy()


def _halved(luma: np.ndarray) -> np.ndarray:
    """MATLAB's `imresize(luma, 0.5)`: bicubic (Keys 1981, a = −0.5) over eight pixels, mirrored at the border."""
    distance = np.array([1.75, 1.25, 0.75, 0.25])
    near, far = distance <= 1, distance > 1
    half = near * (1.5 * distance**3 - 2.5 * distance**2 + 1)
    half = half + far * (-0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2)
    weights = np.concatenate([half, half[::-1]]) / (2 * half.sum())
    for _ in range(2):
        padded = np.pad(luma, ((3, 4), (0, 0)), mode="symmetric")
        count = luma.shape[0] // 2
        luma = sum(weight * padded[tap : tap + 2 * count : 2] for tap, weight in enumerate(weights)).T
    return luma
