"""Small pictures for pages."""

import io

import cv2
import numpy as np
from PIL import Image

from ldrestore.images.bit_depth import to_8_bit
from ldrestore.images.photo import Photo

THUMBNAIL_SIDE = 240
"""Longest side, in pixels."""
_SQUARE = 12  # side of the squares that stand behind what is transparent


def thumbnail_of(photo: Photo, *, side: int = THUMBNAIL_SIDE) -> bytes:
    """A photo as a small JPEG, upon grey squares where it is transparent.

    Args:
        photo: Of any size and depth.
        side: The longest, in pixels.
    """
    share = min(1.0, side / max(photo.height, photo.width))
    size = (max(1, round(photo.width * share)), max(1, round(photo.height * share)))
    colours = to_8_bit(cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA)).reshape(size[1], size[0], -1)
    if photo.alpha is not None:
        alpha = cv2.resize(photo.alpha, size, interpolation=cv2.INTER_AREA)[..., None] / np.float32(photo.max_value)
        y, x = np.mgrid[: size[1], : size[0]] // _SQUARE
        colours = np.rint(colours * alpha + (1 - alpha) * (150 + 40 * ((y + x) % 2))[..., None]).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours.squeeze(2) if colours.shape[2] == 1 else colours).save(file, "JPEG", quality=82)
    return file.getvalue()
