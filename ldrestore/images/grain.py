"""Film grain and paper given back to a restored picture, as measured from what the restoration took away.

Grain is the part of input - result that is fine, white and as strong as the brightness says, wherever it lies;
structure (edges, streaks, drops, blocks) is what sticks out of that. The strength by brightness is a noise level
function as of Liu et al. 2006 (https://doi.org/10.1109/CVPR.2006.207), measured in the flat half of the picture by the
median absolute deviation of the high-pass residual.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ldrestore.images.bit_depth import BAND_ROWS, MAX_VALUES

FINE_SIGMA = 4.0
"""Of the Gaussian whose low frequencies are no grain, in pixels; white noise loses half a hundredth of its variance."""
EXPLAINED_WINDOW = 7
"""Side of the square within which the residual is held against the result's own detail."""
ENERGY_WINDOW = 11
"""Side of the square whose energy tells grain from structure."""
ACCEPTED, REJECTED = 2.0, 4.0
"""Energy in units of the grain's, up to which a place is grain, and from which it is structure."""
MOST_DEVIATIONS = 4.0
"""Single pixels are grain up to so many standard deviations."""
KEPT, EXPLAINING = 0.5, 1.5
"""Power of the result's detail in units of the grain's, up to which it may be grain that the result has kept, and from
which it explains the residual."""
BORROWED = tuple(
    (y * step, x * step) for step in (24, 48) for y, x in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1))
)
"""Where grain is taken from in place of structure: offsets in pixels, tried in this order."""

_LEVELS, _POWERS, _MAGNITUDES = 16, 24, 1024
_LARGEST = 0.25  # of a magnitude, in shares of white; more is no grain
_LEAST_PIXELS = 400  # that tell of one level
_MARGIN = 72  # rows that a pixel's grain depends on, above and below
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class GrainLevels:
    """How strong the grain of a picture is, by channel and brightness."""

    deviations: np.ndarray
    """(C, 16) float32, standard deviation of the fine residual as a share of white, at the brightness
    (0.5, 1.5, ..., 15.5) / 16."""

    def at(self, levels: np.ndarray) -> np.ndarray:
        """Standard deviation at each pixel.

        Args:
            levels: (h, W, C), brightness in [0, 1].
        """
        centres = (np.arange(_LEVELS) + 0.5) / _LEVELS
        found = [np.interp(levels[..., index], centres, line) for index, line in enumerate(self.deviations)]
        return np.stack(found, axis=2).astype(np.float32)


def give_grain_back(restored: np.ndarray, original: np.ndarray, share: float) -> np.ndarray:
    """Add a share of the input's own grain to a result, in place; where there was structure, grain from beside it.

    Args:
        restored: (H, W, C) uint8, uint16, or float32 in [0, 1]; changed.
        original: Same shape and type, what it was made of.
        share: In [0, 1]; 0 changes nothing, 1 gives all grain back.

    Returns:
        `restored`, clipped; integers are rounded to nearest.
    """
    if share == 0:
        return restored
    levels = measure_grain(restored, original)
    white = np.float32(MAX_VALUES[restored.dtype.name])
    above = restored[:0].copy()
    for rows, inner, outer in _bands(len(restored)):
        fresh = np.concatenate([above, restored[rows.start : outer.stop]])  # rows above have grain by now
        grain = _grain(_shares(fresh), _shares(original[outer]), levels)[inner]
        above = fresh[: inner.stop][-_MARGIN:]
        band = np.clip(restored[rows] + (np.float32(share) * white) * grain, 0, white)
        restored[rows] = band if restored.dtype == np.float32 else np.rint(band)
    return restored


def measure_grain(restored: np.ndarray, original: np.ndarray) -> GrainLevels:
    """How strong the grain of a picture is that its restoration took away.

    Args:
        restored: (H, W, C) uint8, uint16, or float32 in [0, 1].
        original: Same shape and type, what it was made of.
    """
    num_channels = restored.shape[2]
    counts = np.zeros((num_channels, _LEVELS * _POWERS * _MAGNITUDES), np.int64)
    for _, inner, outer in _bands(len(restored)):
        after, before = _shares(restored[outer]), _shares(original[outer])
        magnitude, detail = np.abs(_fine(before - after))[inner], _fine(after)
        power = _box(np.square(detail), EXPLAINED_WINDOW)[inner]
        level = _blurred(after)[inner]
        index = _binned(level, 1.0, _LEVELS) * _POWERS + _binned(
            np.log2(np.maximum(power, 0) + 2.0**-24) + 24, 24.0, _POWERS
        )
        index = index * _MAGNITUDES + _binned(magnitude, _LARGEST, _MAGNITUDES)
        for channel in range(num_channels):
            counts[channel] += np.bincount(index[..., channel].ravel(), minlength=counts.shape[1])
    lines = [_deviations(each.reshape(_LEVELS, _POWERS, _MAGNITUDES)) for each in counts]
    return GrainLevels(np.stack(lines).astype(np.float32))


def _grain(after: np.ndarray, before: np.ndarray, levels: GrainLevels) -> np.ndarray:
    """Grain (h, W, C) of a band, as shares of white."""
    deviation = levels.at(_blurred(after))
    residual = _without_detail(_fine(before - after), _fine(after), deviation)
    scaled = residual / (deviation + _TINY)
    energy = _box(np.square(scaled), ENERGY_WINDOW).mean(axis=2, keepdims=True)  # (h, W, 1)
    trust = np.clip((REJECTED - energy) / (REJECTED - ACCEPTED), 0, 1)  # (h, W, 1)
    scaled = np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    borrowed, is_open = np.zeros_like(scaled), np.ones(trust.shape, bool)
    for y, x in BORROWED:
        near, near_trust = (np.roll(values, (y, x), axis=(0, 1)) for values in (scaled, trust))
        is_fit = is_open & (near_trust == 1)
        borrowed = np.where(is_fit, near, borrowed)
        is_open &= ~is_fit
    return np.asarray(deviation * (trust * scaled + np.sqrt(1 - np.square(trust)) * borrowed), np.float32)


def _without_detail(residual: np.ndarray, detail: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """What is left of the residual once the result's own detail has explained what it can: sharpening, contrast."""
    power, common = (_box(values, EXPLAINED_WINDOW) for values in (np.square(detail), residual * detail))
    share = np.clip((power / (np.square(deviation) + _TINY) - KEPT) / (EXPLAINING - KEPT), 0, 1)
    left: np.ndarray = residual - share * common / np.maximum(power, _TINY) * detail
    return left


def _deviations(counts: np.ndarray) -> np.ndarray:
    """Standard deviation by level, of pixels counted by level, power of the detail around, and magnitude.

    Args:
        counts: (16, 24, 1024).

    Returns:
        (16,), filled from the nearest levels where too few pixels tell.
    """
    by_power = counts.sum(axis=2)  # (16, 24)
    is_flat = by_power.cumsum(axis=1) - by_power <= by_power.sum(axis=1, keepdims=True) / 2
    magnitudes = (counts * is_flat[..., None]).sum(axis=1)  # (16, 1024)
    numbers = magnitudes.sum(axis=1)
    known = np.flatnonzero(numbers >= min(_LEAST_PIXELS, numbers.max()))
    medians = [_median(magnitudes[index]) for index in known]
    return np.interp(np.arange(len(counts)), known, np.asarray(medians) * 1.4826)


def _median(counts: np.ndarray) -> float:
    """The median of binned magnitudes, interpolated within its bin; 0 where half of them are nothing."""
    below = np.concatenate([[0], counts.cumsum()])
    half = below[-1] / 2
    index = int(np.searchsorted(below, half, side="right")) - 1
    if index == 0 and counts[0] >= half:
        return 0.0
    return float((index + (half - below[index]) / max(counts[index], 1)) * _LARGEST / _MAGNITUDES)


def _bands(height: int) -> Iterator[tuple[slice, slice, slice]]:
    """Rows of each band; the same within what is looked at; and what is looked at."""
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        first, last = max(top - _MARGIN, 0), min(bottom + _MARGIN, height)
        yield slice(top, bottom), slice(top - first, bottom - first), slice(first, last)


def _shares(pixels: np.ndarray) -> np.ndarray:
    """Pixels as float32 shares of white."""
    return pixels.astype(np.float32) / np.float32(MAX_VALUES[pixels.dtype.name])


def _fine(values: np.ndarray) -> np.ndarray:
    """The high frequencies of (h, W, C)."""
    fine: np.ndarray = values - _blurred(values)
    return fine


def _blurred(values: np.ndarray) -> np.ndarray:
    """The low frequencies of (h, W, C)."""
    blurred = cv2.GaussianBlur(values, (0, 0), FINE_SIGMA, borderType=cv2.BORDER_REFLECT)
    return blurred.reshape(values.shape)


def _box(values: np.ndarray, side: int) -> np.ndarray:
    """The mean over a square around each pixel of (h, W, C)."""
    mean = cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_REFLECT)
    return mean.reshape(values.shape)


def _binned(values: np.ndarray, largest: float, number: int) -> np.ndarray:
    """Index of the bin of each value in [0, largest]; what is beyond falls into the last."""
    return np.clip(values * (number / largest), 0, number - 1).astype(np.int32)
