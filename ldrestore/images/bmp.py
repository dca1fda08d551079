"""BMP."""

import struct
from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile

from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.metadata import FileBlocks, Metadata
from ldrestore.images.pillow_pixels import pixels_of
from ldrestore.images.resolution import Resolution, resolution_of

_HEADER_BYTES, _RESOLUTION_PLACE = 54, 38  # BITMAPFILEHEADER and BITMAPINFOHEADER; biXPelsPerMeter


PILLOWS_INCHES = 39.3701
"""Inches a metre, by which Pillow divides a BMP's pixels a metre, and multiplies what it is to write."""

_LARGEST = 2**31 - 1


def decode_bmp(path: Path, check_size: SizeCheck) -> Decoded:
    """A BMP; palettes become RGB, 1 bit becomes grey.

    Raises:
        ImageTooLargeError: more pixels than allowed.
    """
    with BmpImageFile(path) as image:
        check_size(*image.size)
        pixels, alpha = pixels_of(image, path)
    metadata = Metadata(blocks=FileBlocks(resolution=_resolution_of(path)))
    return Decoded(pixels=pixels, alpha=alpha, metadata=metadata, bit_depth=8)


def pillows_density(resolution: Resolution | None) -> tuple[float, float]:
    """Pixels an inch, for which Pillow writes the whole pixels a metre of a resolution that has a unit; 0 for none."""
    if resolution is None:
        return 0, 0
    x, y = (min(max(round(value), 1), _LARGEST) / PILLOWS_INCHES for value in resolution.per("metre"))
    return x, y


def _resolution_of(path: Path) -> Resolution | None:
    """Pixels a metre, if the header has the place and they are stated."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES or struct.unpack_from("<I", head, 14)[0] < 40:
        return None
    x, y = struct.unpack_from("<ii", head, _RESOLUTION_PLACE)
    return resolution_of(x, y, "metre")
