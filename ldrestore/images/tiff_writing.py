"""TIFF of a picture's own depth, with texts, the camera's data, IPTC and GeoTIFF; tifffile writes it."""

import struct
import warnings
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.metadata import FileBlocks, Metadata
from ldrestore.images.resolution import Unit
from ldrestore.images.tiff import (
    BYTE_TAGS,
    CAMERA_TAGS,
    IPTC_TAG,
    NUMBER_TAGS,
    PROFILE_TAG,
    TEXT_TAGS,
    XMP_TAG,
    as_stored,
)

LARGEST_CLASSIC = 2**32 - 2**25
"""Bytes of pixels above which a BigTIFF is written, with room for metadata; a TIFF ends at 4 GB."""

_BYTE, _ASCII, _SHORT, _LONG, _UNDEFINED = 1, 2, 3, 4, 7  # types of a directory's values
_UNITS: dict[Unit, tuple[Unit, int]] = {
    "none": ("none", 1),
    "inch": ("inch", 2),
    "centimetre": ("centimetre", 3),
    "metre": ("inch", 2),
}
"""Unit of a resolution to the one written, and its code."""


def write_tiff(values: np.ndarray, file: BinaryIO, *, has_alpha: bool, metadata: Metadata) -> None:
    """Write a TIFF, compressed without loss.

    Args:
        values: (H, W, 1 to 4), uint8, uint16 or float32; the last channel is alpha if there is.
        file: Open for reading and writing.
        has_alpha: Whether there is.
        metadata: Those that fit the picture. Makers' notes are left out.
    """
    tags = _extra_tags(metadata)
    exif = Image.Exif()
    exif.load(metadata.exif or b"")
    tags += _tags_of_exif(exif)
    camera = {tag: directory for tag in CAMERA_TAGS if (directory := exif.get_ifd(tag))}
    is_big = values.nbytes > LARGEST_CLASSIC  # compressed it may be smaller, which is known too late
    if is_big and camera:
        warnings.warn(
            "camera data of EXIF, which a BigTIFF cannot hold: left out of the result", MetadataLossWarning, 2
        )
        camera = {}
    tags += [(tag - 1, _LONG, 1, 0, True) for tag in camera]  # stands in for what tifffile does not write
    num_colours = values.shape[2] - has_alpha
    tifffile.imwrite(
        file,
        values[..., 0] if values.shape[2] == 1 else values,
        bigtiff=is_big,
        byteorder="<",
        photometric="rgb" if num_colours == 3 else "minisblack",
        planarconfig=None if values.shape[2] == 1 else "contig",
        extrasamples=["unassalpha"] if has_alpha else None,
        compression="zlib",
        predictor=values.dtype.kind == "u",
        metadata=None,
        software=False,
        extratags=tags,
        **_resolution_options(metadata.blocks),
    )
    for tag, directory in camera.items():
        _append_directory(file, tag, directory)


def _extra_tags(metadata: Metadata) -> list[tuple[Any, ...]]:
    """Profile, XMP, IPTC and GeoTIFF as tifffile takes them."""
    blobs = (
        (PROFILE_TAG, _UNDEFINED, metadata.icc_profile),
        (XMP_TAG, _BYTE, metadata.xmp),
        (IPTC_TAG, _UNDEFINED, metadata.blocks.iptc),
    )
    tags: list[tuple[Any, ...]] = [(tag, kind, len(blob), blob, True) for tag, kind, blob in blobs if blob]
    return tags + [(*tag, True) for tag in metadata.blocks.geo_tags]


def _tags_of_exif(exif: Image.Exif) -> list[tuple[Any, ...]]:
    """Texts, ratings and what Windows adds, as tifffile takes them."""
    tags: list[tuple[Any, ...]] = []
    for tag in TEXT_TAGS:
        if isinstance(exif.get(tag), str):
            text = as_stored(exif[tag]).encode() + b"\0"
            tags.append((tag, _ASCII, len(text), text, True))
    numbers = [(tag, exif.get(tag)) for tag in NUMBER_TAGS]
    tags += [(tag, _SHORT, 1, value, True) for tag, value in numbers if isinstance(value, int) and 0 <= value < 2**16]
    tags += [(tag, _BYTE, len(exif[tag]), exif[tag], True) for tag in BYTE_TAGS if isinstance(exif.get(tag), bytes)]
    return tags


def _resolution_options(blocks: FileBlocks) -> dict[str, Any]:
    """Tifffile's arguments; nothing where no resolution is known, for which it writes 1 without a unit."""
    if blocks.resolution is None:
        return {}
    unit, code = _UNITS[blocks.resolution.unit]
    x, y = (value.limit_denominator(1_000_000) for value in blocks.resolution.per(unit))
    return {"resolution": (_rational(x), _rational(y)), "resolutionunit": code}


def _rational(value: Fraction) -> tuple[int, int]:
    """Numerator and denominator, each of 32 bits."""
    while value.numerator >= 2**32:
        value = value.limit_denominator(max(1, value.denominator // 2))
        if value.denominator == 1:
            break
    return min(value.numerator, 2**32 - 1), value.denominator


def _append_directory(file: BinaryIO, tag: int, values: dict[int, Any]) -> None:
    """Add a directory at the end of a little-endian TIFF, and point the first directory's stand-in for the tag to it.

    Not for BigTIFF, whose entries are longer.
    """
    file.seek(0)
    head = file.read(8)
    directory = ImageFileDirectory_v2(head, group=tag)
    for key, value in values.items():
        directory[key] = as_stored(value)
        if isinstance(value, bytes) and TiffTags.lookup(key, tag).type is None:  # Pillow would say bytes
            directory.tagtype[key] = _UNDEFINED
    end = file.seek(0, 2)
    file.write(b"\0" * (end % 2))
    end += end % 2
    file.write(directory.tobytes(end))
    (start,) = struct.unpack("<I", head[4:8])
    file.seek(start)
    (num_entries,) = struct.unpack("<H", file.read(2))
    entries = file.read(12 * num_entries)
    index = next(i for i in range(0, len(entries), 12) if struct.unpack_from("<H", entries, i) == (tag - 1,))
    file.seek(start + 2 + index)
    file.write(struct.pack("<HHII", tag, _LONG, 1, end))
