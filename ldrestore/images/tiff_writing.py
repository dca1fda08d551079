"""TIFF of a picture's own depth, with texts, the camera's data, IPTC and GeoTIFF; tifffile writes it."""

import struct
import warnings
from collections.abc import Iterable
from typing import Any, BinaryIO

import numpy as np
import tifffile

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.exif import CAMERA_TAG, INTEROP_TAG
from ldrestore.images.exif_directories import LONG, MAIN, Field, directory_bytes, exif_fields
from ldrestore.images.metadata import FileBlocks, Metadata
from ldrestore.images.resolution import Unit, rational_pair
from ldrestore.images.tiff import (
    BYTE_TAGS,
    CAMERA_TAGS,
    IPTC_TAG,
    NUMBER_TAGS,
    PROFILE_TAG,
    TEXT_TAGS,
    XMP_TAG,
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
    directories = exif_directories(metadata.exif)
    tags = _extra_tags(metadata) + _tags_of_exif(directories.get(MAIN, ()))
    camera = {tag: directories[tag] for tag in CAMERA_TAGS if tag in directories}
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
    for tag, fields in camera.items():
        nested = directories.get(INTEROP_TAG) if tag == CAMERA_TAG else None
        if nested:
            place = _append(file, nested)
            fields = (*fields, Field(INTEROP_TAG, LONG, place.to_bytes(4, "little")))
        _point(file, tag, _append(file, fields))


def _extra_tags(metadata: Metadata) -> list[tuple[Any, ...]]:
    """Profile, XMP, IPTC and GeoTIFF as tifffile takes them."""
    blobs = (
        (PROFILE_TAG, _UNDEFINED, metadata.icc_profile),
        (XMP_TAG, _BYTE, metadata.xmp),
        (IPTC_TAG, _UNDEFINED, metadata.blocks.iptc),
    )
    tags: list[tuple[Any, ...]] = [(tag, kind, len(blob), blob, True) for tag, kind, blob in blobs if blob]
    return tags + [(*tag, True) for tag in metadata.blocks.geo_tags]


def exif_directories(block: bytes | None) -> dict[int, tuple[Field, ...]]:
    """The directories of an EXIF block; none of a damaged one, with a warning."""
    if not block:
        return {}
    try:
        return exif_fields(block)
    except ValueError:
        warnings.warn("EXIF data that are damaged: left out of the result", MetadataLossWarning, 2)
        return {}


def _tags_of_exif(fields: Iterable[Field]) -> list[tuple[Any, ...]]:
    """Texts, ratings and what Windows adds, as tifffile takes them."""
    tags: list[tuple[Any, ...]] = []
    for field in fields:
        if field.tag in TEXT_TAGS and field.type == _ASCII:
            text = field.value.rstrip(b"\0") + b"\0"
            tags.append((field.tag, _ASCII, len(text), text, True))
        elif field.tag in NUMBER_TAGS and field.type == _SHORT and field.count == 1:
            tags.append((field.tag, _SHORT, 1, int.from_bytes(field.value, "little"), True))
        elif field.tag in BYTE_TAGS and field.type in (_BYTE, _UNDEFINED):
            tags.append((field.tag, _BYTE, len(field.value), field.value, True))
    return tags


def _resolution_options(blocks: FileBlocks) -> dict[str, Any]:
    """Tifffile's arguments; nothing where no resolution is known, for which it writes 1 without a unit."""
    if blocks.resolution is None:
        return {}
    unit, code = _UNITS[blocks.resolution.unit]
    x, y = (rational_pair(value) for value in blocks.resolution.per(unit))
    return {"resolution": (x, y), "resolutionunit": code}


def _append(file: BinaryIO, fields: Iterable[Field]) -> int:
    """Add a directory at the end of a little-endian TIFF; where it lies."""
    end = file.seek(0, 2)
    file.write(b"\0" * (end % 2))
    place = end + end % 2
    file.write(directory_bytes(fields, place))
    return place


def _point(file: BinaryIO, tag: int, place: int) -> None:
    """Point the first directory's stand-in for a tag to a place. Not for BigTIFF, whose entries are longer."""
    file.seek(4)
    (start,) = struct.unpack("<I", file.read(4))
    file.seek(start)
    (num_entries,) = struct.unpack("<H", file.read(2))
    entries = file.read(12 * num_entries)
    index = next(i for i in range(0, len(entries), 12) if struct.unpack_from("<H", entries, i) == (tag - 1,))
    file.seek(start + 2 + index)
    file.write(struct.pack("<HHII", tag, _LONG, 1, place))
