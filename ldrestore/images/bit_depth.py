"""Pixel types, the value of white in each, and rounding to 8 bits."""

import numpy as np

MAX_VALUES = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
"""Code value of white by pixel type."""

BAND_ROWS = 256
"""Rows of a picture that are worked on at once, which bounds working memory; even, so that they can be halved."""


def to_8_bit(values: np.ndarray) -> np.ndarray:
    """uint8, uint16 or float32 in [0, 1] to uint8, rounded to nearest; (H, ...) of any shape."""
    if values.dtype == np.uint8:
        return values
    rounded = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), BAND_ROWS):  # no wider copy of the whole picture
        band, target = values[top : top + BAND_ROWS], rounded[top : top + BAND_ROWS]
        if values.dtype == np.uint16:  # 65535 = 257 * 255
            target[...] = (band.astype(np.uint32) + 128) // 257
        else:
            target[...] = np.rint(band * np.float32(255))
    return rounded
