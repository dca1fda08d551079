"""JPEG with profile, EXIF, XMP, IPTC, comments and resolution; Pillow writes the pixels."""

import struct
import warnings
from fractions import Fraction
from typing import Any, BinaryIO

from PIL import Image

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.metadata import Metadata
from ldrestore.images.photoshop import SEGMENT_HEADER, resources_of_iptc
from ldrestore.images.pillow_writing import save_with_pillow
from ldrestore.images.resolution import Resolution, Unit

FULL_CHROMA_QUALITY = 90
"""JPEG quality from which colours keep their full resolution (4:4:4)."""
MAX_JPEG_SEGMENT = 65_533
"""The most bytes behind the length of a segment of a JPEG: an EXIF block, a comment, or IPTC with its header."""
_LARGEST_DENSITY = 65_535
MAX_JPEG_XMP = MAX_JPEG_SEGMENT - len(b"http://ns.adobe.com/xap/1.0/\0")
"""The largest XMP packet, in bytes, that one segment of a JPEG holds."""

_COMMENT, _APP13 = b"\xff\xfe", b"\xff\xed"
_JFIF_HEADER, _UNIT_PLACE = b"\xff\xd8\xff\xe0\x00\x10JFIF\0", 13
_UNITS: dict[Unit, tuple[Unit, int]] = {
    "none": ("none", 0),
    "inch": ("inch", 1),
    "centimetre": ("centimetre", 2),
    "metre": ("inch", 1),
}
"""Unit of a resolution to the one written, and its code."""


def write_jpeg(image: Image.Image, file: BinaryIO, *, quality: int, metadata: Metadata) -> None:
    """Write an 8-bit image of mode L or RGB; the file is open for reading and writing, at its beginning."""
    options: dict[str, Any] = {"quality": quality, "subsampling": 0 if quality >= FULL_CHROMA_QUALITY else 2}
    blocks = {"icc_profile": metadata.icc_profile, "exif": metadata.exif, "xmp": metadata.xmp}
    options |= {name: block for name, block in blocks.items() if block}
    for name, most in (("exif", MAX_JPEG_SEGMENT), ("xmp", MAX_JPEG_XMP)):
        if len(options.get(name, b"")) > most:
            size = len(options.pop(name))
            warnings.warn(f"{size} bytes of {name} do not fit a JPEG and are left out", UserWarning, stacklevel=2)
    segments = [(_COMMENT, comment) for comment in metadata.blocks.comments]
    if metadata.blocks.iptc:
        segments.insert(0, (_APP13, SEGMENT_HEADER + resources_of_iptc(metadata.blocks.iptc)))
    if any(len(data) > MAX_JPEG_SEGMENT for _, data in segments):
        warnings.warn("comments or IPTC too large for a JPEG: left out of the result", MetadataLossWarning, 2)
    extra = b"".join(
        marker + struct.pack(">H", len(data) + 2) + data for marker, data in segments if len(data) <= MAX_JPEG_SEGMENT
    )
    save_with_pillow(image, file, "JPEG", options={**options, **({"extra": extra} if extra else {})})
    if metadata.blocks.resolution is not None:
        _set_density(file, metadata.blocks.resolution)


def _set_density(file: BinaryIO, resolution: Resolution) -> None:
    """Put the resolution, in whole numbers, into the JFIF header that libjpeg has written."""
    file.seek(0)
    if file.read(len(_JFIF_HEADER)) == _JFIF_HEADER:
        unit, code = _UNITS[resolution.unit]
        values = resolution.per(unit)
        if not code:  # the shape of a pixel alone, to the digit where two such numbers tell it
            values = _shape_of(values[0] / values[1])
        x, y = (min(max(round(value), 1), _LARGEST_DENSITY) for value in values)
        file.seek(_UNIT_PLACE)
        file.write(struct.pack(">BHH", code, x, y))
    file.seek(0, 2)


def _shape_of(ratio: Fraction) -> tuple[Fraction, Fraction]:
    """Width and height of a pixel as two whole numbers that a JPEG holds."""
    if ratio > 1:
        height, width = _shape_of(1 / ratio)
        return width, height
    nearest = ratio.limit_denominator(_LARGEST_DENSITY)
    return Fraction(nearest.numerator), Fraction(nearest.denominator)
