"""What damage measures like: figures of a picture and of a pair, by which real sets are held against training."""

import itertools

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in brightness, ITU-R BT.601."""

_DARK_WINDOW = 15
"""Side of the window of the dark channel, He et al. 2009."""


def picture_statistics(lq: np.ndarray) -> dict[str, float]:
    """Figures of a picture alone.

    Args:
        lq: (H, W, 3) float32 in [0, 1], at least 32 x 32.

    Returns:
        brightness: Mean of the grey picture.
        contrast: Its standard deviation.
        brightest: Its 99.5th percentile.
        dark_channel: Mean of the least value in windows of 15 x 15 and over the colours.
        saturation: Mean of (max - min) / max over the colours.
        noise_255: Standard deviation of what looks like noise, of 255, Immerkaer 1996,
            https://doi.org/10.1006/cviu.1996.0060, from the median, so that edges weigh little.
        noise_slope: How that changes from the picture's darker half to its brighter one: difference over sum.
        spectrum: Slope of the logarithm of the power over the logarithm of the frequency; about -2 in photographs.
        steepness: Logarithm of the gradients across the columns over those along them; above 0 for upright streaks.
        grid: How much larger steps are at one place of eight than at the others, as a share: blocks of JPEG.
    """
    grey = lq @ LUMA
    noise = _immerkaer(lq)
    middle = float(np.median(grey))
    dark, bright = noise[grey[1:-1, 1:-1] <= middle], noise[grey[1:-1, 1:-1] > middle]
    levels = [float(np.median(part)) if part.size else 0.0 for part in (dark, bright)]
    across, along = (float(np.abs(np.diff(grey, axis=axis)).mean()) for axis in (1, 0))
    top = lq.max(axis=2)
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "brightest": float(np.percentile(grey, 99.5)),
        "dark_channel": float(cv2.erode(lq.min(axis=2), np.ones((_DARK_WINDOW, _DARK_WINDOW), np.uint8)).mean()),
        "saturation": float(((top - lq.min(axis=2)) / np.maximum(top, 1 / 255)).mean()),
        "noise_255": 255 * float(np.median(noise)),
        "noise_slope": (levels[1] - levels[0]) / max(sum(levels), 1e-6),
        "spectrum": _spectral_slope(grey),
        "steepness": float(np.log(max(across, 1e-6) / max(along, 1e-6))),
        "grid": max(_grid(grey), _grid(grey.T)),
    }


def pair_statistics(lq: np.ndarray, gt: np.ndarray) -> dict[str, float]:
    """Figures of a pair, beside those of the degraded picture alone.

    Args:
        lq: (H, W, 3) float32 in [0, 1].
        gt: The same.

    Returns:
        clear_brightness: Mean of the grey clear picture.
        slope: Of lq regressed on gt over all pixels and colours.
        offset: Its value at gt = 0.
        air_light: Where the line meets the diagonal, within [0, 3]; what haze would look like infinitely thick.
        r2: Share of the variance that the line explains.
        added: Mean of lq - gt.
        covered: Share of the values of lq that are 0.1 or more above gt.
        error_255: Standard deviation of lq - gt, of 255.
        neighbours: Correlation of lq - gt between neighbours in a row.
        colours: Correlation of lq - gt between red and green.
    """
    x, y = gt.ravel().astype(np.float64), lq.ravel().astype(np.float64)
    variance = max(float(x.var()), 1e-9)
    slope = float(((x - x.mean()) * (y - y.mean())).mean() / variance)
    offset = float(y.mean() - slope * x.mean())
    error = lq - gt
    return {
        "clear_brightness": float((gt @ LUMA).mean()),
        "slope": slope,
        "offset": offset,
        "air_light": float(np.clip(offset / (1 - slope), 0, 3)) if slope < 0.995 else 3.0,
        "r2": slope**2 * variance / max(float(y.var()), 1e-9),
        "added": float(error.mean()),
        "covered": float((error >= 0.1).mean()),
        "error_255": 255 * float(error.std()),
        "neighbours": _correlation(error[:, 1:], error[:, :-1]),
        "colours": _correlation(error[..., 0], error[..., 1]),
    }


def share_inside(real: np.ndarray, shown: np.ndarray, *, tail: float = 0.01) -> float:
    """Share of the real values that lie between the outermost quantiles of what training shows.

    Args:
        real: (N,) values.
        shown: (M,) values.
        tail: What is cut off at either end of the shown ones, in [0, 0.5).
    """
    low, high = np.quantile(shown, (tail, 1 - tail))
    return float(((real >= low) & (real <= high)).mean())


def _immerkaer(lq: np.ndarray) -> np.ndarray:
    """Absolute response of Immerkaer's mask, scaled so that its median over white noise is the noise's deviation."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(lq, -1, mask))[1:-1, 1:-1].mean(axis=2)
    return response * np.float32(np.sqrt(np.pi / 2) / 6)


def _spectral_slope(grey: np.ndarray) -> float:
    """Slope of log power over log frequency, between a sixteenth and nine tenths of the Nyquist frequency."""
    side = min(grey.shape)
    window = np.hanning(side)[:, None] * np.hanning(side)[None]
    power = np.abs(np.fft.fft2((grey[:side, :side] - grey.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    edges = np.geomspace(0.5 / 16, 0.45, 9)
    bands = [power[(frequency >= low) & (frequency < high)].mean() for low, high in itertools.pairwise(edges)]
    centres = np.sqrt(edges[1:] * edges[:-1])
    return float(np.polyfit(np.log(centres), np.log(np.maximum(bands, 1e-12)), 1)[0])


def _grid(grey: np.ndarray) -> float:
    """How much larger the steps between columns are at the most stepped place of eight, as a share of the others'."""
    curved = np.abs(grey[:, 3:] - 3 * grey[:, 2:-1] + 3 * grey[:, 1:-2] - grey[:, :-3]).mean(axis=0)
    places = np.array([np.median(curved[place::8]) for place in range(8)])
    return float(places.max() / max(np.median(places), 1e-6) - 1)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two arrays of one shape; 0 where one of them is constant."""
    first, second = first.ravel() - first.mean(), second.ravel() - second.mean()
    scale = float(np.sqrt((first**2).mean() * (second**2).mean()))
    return float((first * second).mean()) / scale if scale > 1e-9 else 0.0
