"""BMP."""

import struct
from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile

from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.metadata import FileBlocks, Metadata
from ldrestore.images.pillow_pixels import pixels_of
from ldrestore.images.resolution import Resolution, resolution_of

_HEADER_BYTES, _RESOLUTION_PLACE = 54, 38  # BITMAPFILEHEADER and BITMAPINFOHEADER; biXPelsPerMeter


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


def _resolution_of(path: Path) -> Resolution | None:
    """Pixels a metre, if the header has the place and they are stated."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES or struct.unpack_from("<I", head, 14)[0] < 40:
        return None
    x, y = struct.unpack_from("<ii", head, _RESOLUTION_PLACE)
    return resolution_of(x, y, "metre")
