"""BMP."""

import struct
from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile

from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.metadata import FileBlocks, Metadata
from ldrestore.images.pillow_pixels import pixels_of
from ldrestore.images.resolution import Resolution, resolution_of

_HEADER_BYTES, _RESOLUTION_PLACE = 54, 38  # BITMAPFILEHEADER and BITMAPINFOHEADER; biXPelsPerMeter

_FILE_HEADER_BYTES, _V5_BYTES, _SPACE_PLACE, _PROFILE_PLACE = 14, 124, 56, 112
"""Of BITMAPFILEHEADER and BITMAPV5HEADER, and where the latter has bV5CSType and bV5ProfileData with its size."""
_EMBEDDED = b"DEBM"
"""PROFILE_EMBEDDED, which Microsoft writes as the number 'MBED'."""

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
    metadata = Metadata(icc_profile=_profile_of(path), blocks=FileBlocks(resolution=_resolution_of(path)))
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


def _profile_of(path: Path) -> bytes | None:
    """The colour profile that lies in the file; None where there is none, or none that is whole."""
    with path.open("rb") as file:
        header = file.read(_FILE_HEADER_BYTES + _V5_BYTES)[_FILE_HEADER_BYTES:]
        if len(header) < _V5_BYTES or struct.unpack_from("<I", header)[0] < _V5_BYTES:
            return None
        place, size = struct.unpack_from("<II", header, _PROFILE_PLACE)
        if header[_SPACE_PLACE : _SPACE_PLACE + 4] != _EMBEDDED or not 0 < size <= path.stat().st_size:
            return None
        file.seek(_FILE_HEADER_BYTES + place)
        profile = file.read(size)
    return profile if len(profile) == size else None
