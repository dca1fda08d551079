"""Which metadata a format holds: what fits is fitted to the written picture, the rest is left out with a warning."""

import dataclasses
import struct
import warnings
import zlib
from typing import Any

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.exif import (
    UNIT_TAG,
    X_RESOLUTION_TAG,
    Y_RESOLUTION_TAG,
    exif_resolution,
    has_maker_note,
    sized_exif,
)
from ldrestore.images.exif_directories import MAIN, RATIONAL, SHORT, Field, exif_block, exif_fields
from ldrestore.images.metadata import Chunk, FileBlocks, Metadata
from ldrestore.images.png import TEXT_KINDS, text_of
from ldrestore.images.resolution import Resolution, Unit, rational_pair
from ldrestore.images.xmp import sized_xmp

_HOLDS = {
    "PNG": {"icc_profile", "exif", "xmp", "resolution", "texts", "comments", "colour_chunks"},
    "TIFF": {"icc_profile", "exif", "xmp", "resolution", "iptc", "geo_tags"},
    "JPEG": {"icc_profile", "exif", "xmp", "resolution", "iptc", "comments"},
    "WEBP": {"icc_profile", "exif", "xmp"},
    "BMP": {"resolution"},
}
"""Format to what it holds, by the names of the fields of `Metadata` and `FileBlocks`."""

_WORDS = {
    "icc_profile": "the colour profile",
    "exif": "EXIF data",
    "xmp": "XMP data",
    "resolution": "the resolution",
    "iptc": "IPTC data",
    "comments": "comments",
    "texts": "PNG texts",
    "colour_chunks": "PNG's description of the colours (gAMA, cHRM or cICP)",
    "geo_tags": "tags of GeoTIFF",
}
_SRGB_GAMMA = range(45_400, 45_500)  # 1 / 2.2, times 100,000
_SRGB_POINTS = (31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)
_SRGB_NUMBERS = b"\1\x0d"  # cICP's primaries and transfer
_BRIGHTNESS_KINDS = {b"mDCV", b"cLLI"}  # of a display for pictures of high dynamic range
_GREY_SPACE = b"GRAY"
"""What an ICC profile of greys says at its byte 16, ICC.1:2022, table 19."""
_EMPTY: tuple[object, ...] = (None, b"", ())
_EXIF_UNITS: dict[Unit, int] = {"none": 1, "inch": 2, "centimetre": 3}


def carried_metadata(metadata: Metadata, file_format: str, *, width: int, height: int) -> Metadata:
    """Metadata as they are written beside a picture; what is left out is warned of, once a kind.

    Dimensions in EXIF and XMP become the picture's. Comments of JPEG become texts of PNG, and the text "Comment" a
    comment; WebP keeps the resolution in EXIF.

    Args:
        metadata: Of an upright picture.
        file_format: "JPEG", "PNG", "TIFF", "WEBP" or "BMP".
        width: Of the picture.
        height: Of the picture.
    """
    holds, blocks = _HOLDS[file_format], _comments_moved(metadata.blocks, file_format)
    exif = metadata.exif and sized_exif(metadata.exif, width=width, height=height)
    if file_format == "WEBP" and blocks.resolution is not None:
        exif = _exif_with_resolution(exif, blocks.resolution)
        blocks = dataclasses.replace(blocks, resolution=None) if exif_resolution(exif) is not None else blocks
    if file_format == "BMP" and blocks.resolution is not None and blocks.resolution.unit == "none":
        _warn("the shape of pixels of no stated size, which a BMP cannot hold")
        blocks = dataclasses.replace(blocks, resolution=None)
    if blocks.geo_tags and "geo_tags" in holds and blocks.geo_size != (width, height):
        _warn("tags of GeoTIFF, which hold for the old size")
        blocks = dataclasses.replace(blocks, geo_tags=())
    if file_format == "WEBP" and (metadata.icc_profile or b"")[16:20] == _GREY_SPACE:
        _warn("the colour profile of greys, for which a WEBP has no pixels")
        metadata = dataclasses.replace(metadata, icc_profile=None)
    if file_format == "TIFF" and has_maker_note(exif):
        _warn("the maker's note of EXIF, which a TIFF cannot hold")
    if "colour_chunks" not in holds and (metadata.icc_profile or _is_srgb(blocks.colour_chunks)):
        blocks = dataclasses.replace(blocks, colour_chunks=())  # says nothing that the values do not mean anyway
    fitted = dataclasses.replace(
        metadata, exif=exif, xmp=sized_xmp(metadata.xmp, width=width, height=height), blocks=blocks
    )
    lost = [name for name in _WORDS if name not in holds and _value(fitted, name) not in _EMPTY]
    for name in lost:
        _warn(f"{_WORDS[name]}, which a {file_format} cannot hold")
    kept: dict[str, Any] = {name: None for name in lost if hasattr(fitted, name)}
    gone: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(FileBlocks) if field.name in lost}
    return dataclasses.replace(fitted, **kept, blocks=dataclasses.replace(fitted.blocks, **gone))


def _value(metadata: Metadata, name: str) -> object:
    """A field of metadata or of their blocks."""
    return getattr(metadata, name) if hasattr(metadata, name) else getattr(metadata.blocks, name)


def _warn(loss: str) -> None:
    """The same words for every picture, so that they can be shown once."""
    warnings.warn(f"{loss}: left out of the result", MetadataLossWarning, stacklevel=4)


def _comments_moved(blocks: FileBlocks, file_format: str) -> FileBlocks:
    """Blocks in which texts of PNG called "Comment" are comments, where the format holds these and no texts."""
    if file_format != "JPEG":
        return blocks
    is_comment = [kind in TEXT_KINDS and value.startswith(b"Comment\0") for kind, value in blocks.texts]
    found = zip(blocks.texts, is_comment, strict=True)
    comments = [_text(chunk) for chunk, is_one in found if is_one]
    texts = tuple(chunk for chunk, is_one in zip(blocks.texts, is_comment, strict=True) if not is_one)
    moved = tuple(comment for comment in comments if comment)
    return dataclasses.replace(blocks, texts=texts, comments=(*blocks.comments, *moved))


def _text(chunk: Chunk) -> bytes:
    """The text of a chunk; empty for a damaged one, with a warning."""
    try:
        return text_of(*chunk)
    except (ValueError, zlib.error):
        _warn("a comment that is damaged")
        return b""


def _is_srgb(chunks: tuple[Chunk, ...]) -> bool:
    """Whether chunks describe the colours that values without any description have."""
    found = dict(chunks)
    if found.keys() & _BRIGHTNESS_KINDS:
        return False
    if b"cICP" in found:
        return found[b"cICP"][:2] == _SRGB_NUMBERS
    if b"sRGB" in found:
        return True
    gamma, points = found.get(b"gAMA"), found.get(b"cHRM")
    has_gamma = gamma is None or int.from_bytes(gamma[:4], "big") in _SRGB_GAMMA
    stored = [] if points is None else [int.from_bytes(points[i : i + 4], "big") for i in range(0, 32, 4)]
    return has_gamma and all(abs(a - b) <= 100 for a, b in zip(stored, _SRGB_POINTS, strict=False))


def _exif_with_resolution(block: bytes | None, resolution: Resolution) -> bytes | None:
    """An EXIF block that states the resolution; as it is where it states one, or a maker's note hinders a new block."""
    if exif_resolution(block) is not None or has_maker_note(block):
        return block
    unit: Unit = "inch" if resolution.unit == "metre" else resolution.unit
    try:
        directories = exif_fields(block) if block else {}
    except ValueError:
        return block
    own = (X_RESOLUTION_TAG, Y_RESOLUTION_TAG, UNIT_TAG)
    pairs = [rational_pair(value) for value in resolution.per(unit)]
    stated = [Field(tag, RATIONAL, struct.pack("<II", *pair)) for tag, pair in zip(own[:2], pairs, strict=True)]
    stated.append(Field(UNIT_TAG, SHORT, _EXIF_UNITS[unit].to_bytes(2, "little")))
    others = [field for field in directories.get(MAIN, ()) if field.tag not in own]
    return exif_block({**directories, MAIN: [*others, *stated]})
