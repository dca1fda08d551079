"""Pictures enlarged by a whole factor before they are restored."""

import cv2
import numpy as np

from ldrestore.images.photo import MAX_VALUES, Photo

BAND_ROWS = 256
"""Rows of the input that are enlarged at once, which bounds working memory."""
MARGIN_ROWS = 4
"""Rows beside a band that its interpolation sees; bicubic reaches two."""


def enlarge(photo: Photo, scale: int) -> Photo:
    """Bicubic enlargement (Keys 1981, a = -0.75) of colours and alpha in float32, rounded into the picture's own type.

    Colours are not weighted by alpha.

    Args:
        photo: (H, W).
        scale: Whole factor, at least 1.

    Returns:
        (scale * H, scale * W); the photo itself where scale is 1.
    """
    if scale == 1:
        return photo
    alpha = None if photo.alpha is None else _enlarged(photo.alpha[..., None], scale)[..., 0]
    return photo.replace(pixels=_enlarged(photo.pixels, scale), alpha=alpha)


def _enlarged(values: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, C) to (scale * H, scale * W, C) of the same type, band by band."""
    height, width, num_channels = values.shape
    output = np.empty((height * scale, width * scale, num_channels), values.dtype)
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        first, last = max(top - MARGIN_ROWS, 0), min(bottom + MARGIN_ROWS, height)
        size = (width * scale, (last - first) * scale)
        band = cv2.resize(values[first:last].astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        band = band.reshape(size[1], size[0], num_channels)[(top - first) * scale : (bottom - first) * scale]
        np.clip(band, 0.0, MAX_VALUES[values.dtype.name], out=band)
        output[top * scale : bottom * scale] = band if values.dtype == np.float32 else np.rint(band)
    return output
