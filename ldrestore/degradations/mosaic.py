"""The colour filter mosaic of a sensor, and its interpolation."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import to_encoded, to_linear

SITES = ((0, (0, 0)), (1, (0, 1)), (1, (1, 0)), (2, (1, 1)))
"""Bayer's mosaic, RGGB: channel, and the row and column of its first site."""

_MARGIN = 2
"""Pixels around a picture that its interpolation looks at; reflecting them keeps the mosaic's phase."""


def demosaic_parameters(severity: float) -> dict[str, float]:
    """The error of interpolation grows in proportion, up to the bilinear one, and so does the sensor's noise."""
    return {"share": severity, "shot": 3e-3 * severity, "read": 1.5e-2 * severity}


def demosaic(
    image: np.ndarray, *, share: float, shot: float, read: float, generator: np.random.Generator
) -> np.ndarray:
    """See the picture through Bayer's mosaic and interpolate the missing colours, in linear light.

    Bayer 1976, US patent 3971065, with bilinear interpolation, to which Malvar et al. 2004, High-quality Linear
    Interpolation for Demosaicing of Bayer-patterned Color Images, compare theirs: zippers along edges, false colours in
    fine texture. Noise of variance shot * signal + read^2 is drawn at each site and interpolated with the picture.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        share: How much of the bilinear error on the noise-free picture is there: 1 is bilinear interpolation, less
            stands for a better one, 0 for a perfect one. In [0, 1].
        shot: Variance per unit of linear signal, at least 0.
        read: Standard deviation in the dark, in linear light, at least 0.
        generator: Source of the mosaic's phase and the noise.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    top, left = generator.integers(2, size=2)
    bordered = cv2.copyMakeBorder(
        to_linear(image),
        _MARGIN + top,
        _MARGIN,
        _MARGIN + left,
        _MARGIN,
        cv2.BORDER_REFLECT_101,
    )
    sites = generator.standard_normal(bordered.shape[:2], dtype=np.float32)[..., None]  # one sample a site
    noise = sites * np.sqrt(np.float32(shot) * bordered + np.float32(read**2))
    error = np.float32(share) * (interpolated(mosaicked(bordered)) - bordered) + interpolated(mosaicked(noise))
    height, width = image.shape[:2]
    inner = (
        slice(_MARGIN + top, _MARGIN + top + height),
        slice(_MARGIN + left, _MARGIN + left + width),
    )
    return to_encoded((bordered + error)[inner])


def mosaicked(picture: np.ndarray) -> np.ndarray:
    """What an RGGB mosaic keeps: (H, W, 3) to the same shape, zero wherever a channel has no site."""
    kept = np.zeros_like(picture)
    for channel, (row, column) in SITES:
        own = (slice(row, None, 2), slice(column, None, 2), channel)
        kept[own] = picture[own]
    return kept


def interpolated(mosaic: np.ndarray) -> np.ndarray:
    """Bilinear interpolation of an RGGB mosaic whose missing sites are zero: (H, W, 3) to the same shape."""
    red_blue = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
    green = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
    kernels = (red_blue, green, red_blue)
    channels = [
        cv2.filter2D(mosaic[..., index], -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        for index, kernel in enumerate(kernels)
    ]
    return np.stack(channels, axis=-1)
