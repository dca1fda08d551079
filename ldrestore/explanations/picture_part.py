"""The picture that is explained, and the part of it that is looked at."""

from dataclasses import dataclass

import numpy as np

from ldrestore.errors import ShapeError
from ldrestore.images.inputs import ImageInput, to_photo
from ldrestore.images.photo import Photo

MAX_SIDE = 512
"""Longest side, in pixels, of what is looked at at once. A larger picture is cut and not shrunk: shrinking would
average away the very noise that the model is asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePart:
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int
    is_whole: bool
    """Whether it is all of it."""

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The part of an array (H, W, ...), not copied."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def middle_part(picture: Photo) -> PicturePart:
    """The whole of a picture, or of a larger one the `MAX_SIDE` pixels at its middle, along each side."""
    height, width = min(picture.height, MAX_SIDE), min(picture.width, MAX_SIDE)
    return PicturePart(
        top=(picture.height - height) // 2,
        left=(picture.width - width) // 2,
        height=height,
        width=width,
        is_whole=(height, width) == (picture.height, picture.width),
    )


def cut(photo: Photo, part: PicturePart) -> Photo:
    """That part of a photo; a whole one is handed through."""
    if part.is_whole:
        return photo
    alpha = None if photo.alpha is None else part.of(photo.alpha)
    return photo.replace(pixels=np.ascontiguousarray(part.of(photo.pixels)), alpha=alpha)


def read_pair(image: ImageInput, gt: ImageInput | None) -> tuple[Photo, Photo | None]:
    """A picture and what it should look like.

    Raises:
        ShapeError: the ground truth has another size.
        ImageFileError: a path cannot be read.
    """
    picture, truth = to_photo(image), None if gt is None else to_photo(gt)
    if truth is not None and (truth.height, truth.width) != (picture.height, picture.width):
        raise ShapeError(
            f"the ground truth must have the picture's size, {picture.width} x {picture.height} pixels, got "
            f"{truth.width} x {truth.height}; give the picture that this one was made from"
        )
    return picture, truth
