"""A result and its ground truth, brought together as a protocol says."""

import warnings
from dataclasses import dataclass

import numpy as np

from ldrestore.errors import ShapeError
from ldrestore.images.bit_depth import to_8_bit
from ldrestore.images.photo import Photo
from ldrestore.metrics.luma import LumaRange, luma_of
from ldrestore.metrics.protocols import Protocol


@dataclass(frozen=True, slots=True, eq=False)
class ComparedPictures:
    """Two pictures of one size, RGB on a scale of 255, cut to the protocol's multiple."""

    result: np.ndarray
    """(H, W, 3) uint8, or float64 where the protocol does not round."""
    gt: np.ndarray
    """Same shape and type."""
    protocol: Protocol
    """That they were brought together by."""

    def for_distortion(self) -> tuple[np.ndarray, np.ndarray]:
        """What PSNR and SSIM are computed of: the protocol's colour, without its border; (h, w, C)."""
        border = self.protocol.border
        inner = slice(border, -border) if border else slice(None)
        pictures = (picture[inner, inner] for picture in (self.result, self.gt))
        if self.protocol.colour == "rgb":
            result, gt = pictures
        else:
            luma_range: LumaRange = "limited" if self.protocol.colour == "y_limited" else "full"
            result, gt = (luma_of(picture, luma_range) for picture in pictures)
            if self.protocol.luma_rounding == "uint8":
                result, gt = np.floor(result + 0.5), np.floor(gt + 0.5)
        if not result.size:
            raise ShapeError(f"nothing is left of {self.result.shape[:2]} without {border} pixels at each side")
        return result, gt


def bring_together(result: Photo, gt: Photo, protocol: Protocol, *, name: str | None = None) -> ComparedPictures:
    """Both pictures as a protocol compares them. Transparency is left out, with a warning.

    Args:
        result: What is judged.
        gt: What it should be.
        protocol: How.
        name: Of the picture, for warnings.

    Raises:
        ShapeError: the sizes differ, one is grey and the other has colours, or the protocol leaves nothing.
    """
    if (result.height, result.width) != (gt.height, gt.width):
        raise ShapeError(
            f"the result has {result.width}x{result.height} pixels and the ground truth {gt.width}x{gt.height}; "
            "compare pictures of one size"
        )
    where = "" if name is None else f"{name}: "
    if {result.pixels.dtype.name, gt.pixels.dtype.name} == {"uint8", "uint16"}:
        depths = f"the result is {result.pixels.dtype} and the ground truth {gt.pixels.dtype}"
        how = "both are rounded to 8 bits" if protocol.rounding == "uint8" else "both are scaled to one white"
        warnings.warn(f"{where}{depths}; {how}", stacklevel=2)
    if result.num_channels == gt.num_channels and (result.alpha is not None or gt.alpha is not None):
        warnings.warn(f"{where}transparency is not compared, colours alone are", stacklevel=2)
    return ComparedPictures(*bring_together_values(result, gt, protocol), protocol)


def bring_together_values(result: Photo, gt: Photo, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """The values of two pictures, of whatever sizes: RGB on a scale of 255, cut and rounded as the protocol says.

    Raises:
        ShapeError: one is grey and the other has colours, or the protocol leaves nothing.
    """
    if result.num_channels != gt.num_channels:
        names = {1: "grey", 3: "RGB"}
        raise ShapeError(
            f"the result is {names[result.num_channels]} and the ground truth {names[gt.num_channels]}; save both alike"
        )
    return _values(result, protocol), _values(gt, protocol)


def _values(photo: Photo, protocol: Protocol) -> np.ndarray:
    """(H, W, 3) on a scale of 255, cut at the centre to the protocol's multiple.

    Raises:
        ShapeError: the picture is smaller than the multiple.
    """
    top, height = _centred(photo.height, protocol.multiple)
    left, width = _centred(photo.width, protocol.multiple)
    if not height or not width:
        raise ShapeError(f"{photo.width}x{photo.height} is smaller than the multiple {protocol.multiple} it is cut to")
    pixels = photo.pixels[top : top + height, left : left + width]
    if protocol.rounding == "uint8":
        values = to_8_bit(pixels)
    else:
        values = pixels.astype(np.float64) * (255.0 / photo.max_value)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def _centred(length: int, multiple: int) -> tuple[int, int]:
    """Where the largest multiple starts that fits in the middle, and how long it is."""
    kept = length // multiple * multiple
    return (length - kept) // 2, kept
