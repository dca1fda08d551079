"""Masks that keep parts of a picture as they came."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ldrestore.errors import InputError
from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.grain import give_grain_back
from ldrestore.images.inputs import ImageInput, to_photo
from ldrestore.images.photo import Photo
from ldrestore.images.working_copy import like_input


def read_masks(protect: ImageInput | Sequence[ImageInput | None] | None, photos: Sequence[Photo]) -> list[Photo | None]:
    """One mask, or none, for each picture.

    Args:
        protect: A picture, white where the input is kept and black where it is restored, for all; or a list with one
            or None for each picture. A boolean array is a mask too.
        photos: The inputs; a mask has its picture's height and width.

    Raises:
        InputError: another number of masks than pictures, another size, or a transparent mask.
        ImageFileError: a path cannot be read.
    """
    if isinstance(protect, (list, tuple)):
        masks = [_read_mask(mask) for mask in protect]
        if len(masks) != len(photos):
            raise InputError(f"expected one mask for each of the {len(photos)} pictures, got {len(masks)}")
    else:
        masks = [_read_mask(protect)] * len(photos)
    for mask, photo in zip(masks, photos, strict=True):
        if mask is not None and (mask.height, mask.width) != (photo.height, photo.width):
            raise InputError(
                f"a mask must have its picture's size, {photo.width}x{photo.height}, "
                f"got {mask.width}x{mask.height}; resize it"
            )
    return masks


def keep_protected(restored: np.ndarray, original: np.ndarray, mask: Photo | None) -> np.ndarray:
    """Put the original back where a mask says so, in place.

    Args:
        restored: (N * H, N * W, C), changed.
        original: Same shape and type.
        mask: (H, W), each pixel of which rules N x N pixels: white gives the original to the bit, black the restored
            picture to the bit, grey a blend; None changes nothing. The mean of its channels counts.

    Returns:
        `restored`.
    """
    if mask is None:
        return restored
    scale = restored.shape[0] // mask.height
    for top in range(0, mask.height, BAND_ROWS):
        share = mask.pixels[top : top + BAND_ROWS].mean(axis=2, keepdims=True, dtype=np.float32)
        share = (share / np.float32(mask.max_value)).repeat(scale, axis=0).repeat(scale, axis=1)  # (h, w, 1)
        rows = slice(top * scale, top * scale + share.shape[0])
        before, after = original[rows].astype(np.float32), restored[rows].astype(np.float32)
        blend = np.where(share == 1, before, after + (before - after) * share)
        restored[rows] = blend if restored.dtype == np.float32 else np.rint(blend)
    return restored


def finished(restored: np.ndarray, *, large: Photo, photo: Photo, mask: Photo | None, keep_grain: float) -> Photo:
    """A restored working copy as the picture came: grain, protected parts, channels and hidden colours given back.

    Args:
        restored: Pixels of the working copy's shape and type, changed.
        large: The working copy, see `ldrestore.images.working_copy`.
        photo: The picture that it was made of.
        mask: See `keep_protected`.
        keep_grain: In [0, 1], see `ldrestore.images.grain.give_grain_back`.
    """
    protected = keep_protected(give_grain_back(restored, large.pixels, keep_grain), large.pixels, mask)
    return like_input(large.replace(pixels=protected, alpha=large.alpha), photo)


def _read_mask(mask: Any) -> Photo | None:
    """A mask as a photo.

    Raises:
        InputError: it is transparent, or no picture.
    """
    if mask is None:
        return None
    if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
        mask = mask.astype(np.uint8) * np.uint8(255)
    photo = to_photo(mask)
    if photo.alpha is not None:
        raise InputError("a mask must be opaque, got one with an alpha channel; flatten it")
    return photo
