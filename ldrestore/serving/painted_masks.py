"""Masks that were painted in the page, made to the picture's size."""

import base64
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from ldrestore.errors import ImageFileError, InputError
from ldrestore.images.files import read_photo
from ldrestore.images.headers import read_size

MAX_MASK_LETTERS = 8_000_000
"""Of a painted mask, as text."""
MAX_MASK_PIXELS = 4_000_000
"""Of a painted mask."""
PNG_PREFIX = "data:image/png;base64,"
SOFT_SHARE = 1 / 400
"""Radius of the soft edge as a share of the picture's longest side."""


def write_mask(painted: str, picture: Path, folder: Path) -> Path | None:
    """A painted mask as a file of the picture's size, with a soft edge.

    Args:
        painted: A PNG as a `data:` address, white where the picture must stay.
        picture: The picture's file, of which the header is read.
        folder: Where the mask goes.

    Returns:
        The mask's file; None where nothing was painted.

    Raises:
        InputError: it is no such mask.
        ImageFileError: the picture cannot be read.
    """
    if not isinstance(painted, str) or not painted.startswith(PNG_PREFIX) or len(painted) > MAX_MASK_LETTERS:
        raise InputError("the painted mask is no PNG of the size that the page makes; clear it and paint again")
    raw = folder / "painted.png"
    try:
        raw.write_bytes(base64.b64decode(painted[len(PNG_PREFIX) :], validate=True))
        photo = read_photo(raw, max_pixels=MAX_MASK_PIXELS)
    except (ValueError, ImageFileError) as error:  # ValueError: of base64, for letters that it does not have
        raise InputError("the painted mask is damaged; clear it and paint again") from error
    finally:
        raw.unlink(missing_ok=True)
    grey = np.rint(photo.pixels.mean(axis=2) * (255 / photo.max_value)).astype(np.uint8)  # (H, W)
    if not grey.any():
        return None
    width, height = read_size(picture)
    mask = Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR)
    target = folder / "mask.png"
    mask.filter(ImageFilter.GaussianBlur(SOFT_SHARE * max(width, height))).save(target, "PNG", compress_level=1)
    return target
