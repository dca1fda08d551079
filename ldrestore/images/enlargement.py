"""Pictures enlarged by a whole factor before they are restored."""

import cv2
import numpy as np

from ldrestore.images.bit_depth import BAND_ROWS, MAX_VALUES
from ldrestore.images.photo import Photo

MARGIN_ROWS = 4
"""Rows beside a band that its interpolation sees; bicubic reaches two."""
MIN_SHARE = 1 / 32
"""Interpolated alpha below which colours are no longer divided by it."""

SURE_SHARE = 3 / 4
"""Interpolated alpha from which the division is harmless: colours may overshoot there, as bicubic ones do."""

_NEAR = np.ones((5, 5), np.uint8)  # the pixels that bicubic interpolation sees, at most


def enlarge(photo: Photo, scale: int) -> Photo:
    """Bicubic enlargement (Keys 1981, a = -0.75) of colours and alpha in float32, rounded into the picture's own type.

    Where alpha varies, colours count by it, so that those of faint pixels do not spread into opaque ones. The colours
    under alpha 0 count nothing beside visible ones; `transparency.fill_hidden` gives them sensible ones before.

    Args:
        photo: (H, W).
        scale: Whole factor, at least 1.

    Returns:
        (scale * H, scale * W); the photo itself where scale is 1.
    """
    if scale == 1:
        return photo
    alpha = None if photo.alpha is None else _enlarged(photo.alpha[..., None], scale, alpha=None)[..., 0]
    return photo.replace(pixels=_enlarged(photo.pixels, scale, alpha=photo.alpha), alpha=alpha)


def _enlarged(values: np.ndarray, scale: int, *, alpha: np.ndarray | None) -> np.ndarray:
    """(H, W, C) to (scale * H, scale * W, C) of the same type, band by band, weighted by alpha (H, W) if there is."""
    height, width, num_channels = values.shape
    output = np.empty((height * scale, width * scale, num_channels), values.dtype)
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        first, last = max(top - MARGIN_ROWS, 0), min(bottom + MARGIN_ROWS, height)
        stored = values[first:last].astype(np.float32)
        band = _resized(stored, scale, cv2.INTER_CUBIC)
        if alpha is not None and np.ptp(alpha[first:last]):
            share = alpha[first:last, :, None].astype(np.float32) / np.float32(MAX_VALUES[alpha.dtype.name])
            band = _weighted(stored, share, band, scale)
        band = band[(top - first) * scale : (bottom - first) * scale]
        np.clip(band, 0.0, MAX_VALUES[values.dtype.name], out=band)
        output[top * scale : bottom * scale] = band if values.dtype == np.float32 else np.rint(band)
    return output


def _weighted(colours: np.ndarray, alpha: np.ndarray, plain: np.ndarray, scale: int) -> np.ndarray:
    """Colours (h, w, C) enlarged with alpha (h, w, 1) as weight, within the range of their neighbours where faint.

    `plain`, enlarged without weights, stays where all neighbours are opaque, or where hardly any is seen.
    """
    share = _resized(alpha, scale, cv2.INTER_CUBIC)
    weighted = _resized(colours * alpha, scale, cv2.INTER_CUBIC)
    is_seen = share > MIN_SHARE
    ratio = np.where(is_seen, weighted / np.where(is_seen, share, 1), plain)
    lowest, highest, least = (
        _resized(extreme(values, _NEAR).reshape(values.shape), scale, cv2.INTER_NEAREST)
        for extreme, values in ((cv2.erode, colours), (cv2.dilate, colours), (cv2.erode, alpha))
    )
    ratio = np.where(share < SURE_SHARE, np.clip(ratio, lowest, highest), ratio)
    return np.where(least == 1, plain, ratio)


def _resized(values: np.ndarray, scale: int, interpolation: int) -> np.ndarray:
    """(h, w, C) float32 to (scale * h, scale * w, C)."""
    height, width, num_channels = values.shape
    resized = cv2.resize(values, (width * scale, height * scale), interpolation=interpolation)
    return resized.reshape(height * scale, width * scale, num_channels)
