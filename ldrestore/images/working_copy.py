"""What a network is shown of a picture, and its result as the picture came: one way for all tracks."""

import numpy as np

from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.enlargement import enlarge
from ldrestore.images.photo import Photo
from ldrestore.images.transparency import fill_hidden, restore_hidden


def working_copy(photo: Photo, *, scale: int = 1) -> Photo:
    """The picture to restore: three equal channels as one, colours under full transparency filled, enlarged.

    So a grey picture cannot come back with chroma, and what nobody sees changes nothing that is seen.

    Args:
        photo: (H, W).
        scale: Whole factor of the enlargement, at least 1.

    Returns:
        (scale * H, scale * W) of the same type; the photo itself where there is nothing to do.
    """
    photo = fill_hidden(photo)  # first: colours that nobody sees make no grey picture coloured
    if _is_grey(photo.pixels):
        photo = photo.replace(pixels=np.ascontiguousarray(photo.pixels[..., :1]), alpha=photo.alpha)
    return enlarge(photo, scale)


def like_input(result: Photo, photo: Photo) -> Photo:
    """A restored working copy with the channels of its picture, and with the colours stored under alpha 0.

    Args:
        result: Of `working_copy(photo)`; its pixels may be changed.
        photo: The picture that it was made of.

    Returns:
        As many channels as `photo`. Enlarged pictures keep filled colours under alpha 0.
    """
    pixels = result.pixels
    if pixels.shape[2] != photo.num_channels:
        pixels = pixels.repeat(photo.num_channels, axis=2)
    restore_hidden(pixels, photo)
    return result.replace(pixels=pixels, alpha=result.alpha)


def _is_grey(pixels: np.ndarray) -> bool:
    """Whether (H, W, 3) holds three equal channels."""
    if pixels.shape[2] != 3:
        return False
    bands = (pixels[top : top + BAND_ROWS] for top in range(0, len(pixels), BAND_ROWS))
    return all((band[..., :1] == band[..., 1:]).all() for band in bands)
