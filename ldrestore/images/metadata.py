"""What a file keeps beside its pixels: read, set upright, and handed on to the file that is written."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ldrestore.images.exif import upright_exif
from ldrestore.images.orientation import TURNED, UPRIGHT_TAG, valid_orientation
from ldrestore.images.resolution import Resolution
from ldrestore.images.xmp import upright_xmp, without_promises, xmp_orientation

Chunk = tuple[bytes, bytes]
"""Kind and data of a chunk of PNG."""
CREDENTIALS = "content credentials (C2PA), which hold for the picture as it was"
"""What is told of a signed history of the pixels, wherever a format keeps it."""
TiffTag = tuple[int, int, int, Any]
"""Code, type, number of values, and the values of a tag of TIFF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBlocks:
    """What single formats hold beside profile, EXIF and XMP; what the written format cannot hold is warned of."""

    resolution: Resolution | None = None
    """Pixels an inch, a centimetre or a metre."""
    iptc: bytes | None = None
    """Records of IPTC-IIM 4.2."""
    comments: tuple[bytes, ...] = ()
    """Comments of JPEG, in any encoding."""
    texts: tuple[Chunk, ...] = ()
    """Text chunks of PNG: tEXt, zTXt and iTXt as they lie in the file, XMP left out."""
    colour_chunks: tuple[Chunk, ...] = ()
    """Chunks of PNG that say what the values mean: gAMA, cHRM, sRGB, cICP, mDCV and cLLI."""
    geo_tags: tuple[TiffTag, ...] = ()
    """Tags of GeoTIFF and GDAL, which tell where on Earth the pixels lie."""
    geo_size: tuple[int, int] | None = None
    """Width and height for which the tags of GeoTIFF hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a file keeps beside the pixels."""

    icc_profile: bytes | None = None
    """Colour profile."""
    exif: bytes | None = None
    """EXIF block with its prefix."""
    xmp: bytes | None = None
    """XMP packet."""
    blocks: FileBlocks = field(default_factory=FileBlocks)
    """Everything else."""


def upright_metadata(metadata: Metadata) -> tuple[Metadata, int, tuple[str, ...]]:
    """Metadata as they lie in a file to those of an upright picture that is alone in its file.

    Args:
        metadata: As read. EXIF's orientation counts before that of XMP.

    Returns:
        Blocks that state that the picture is upright, have no thumbnail and promise nothing that is gone; the
        orientation that they stated, 1 to 8; what they promised, in words.

    Raises:
        ValueError: the EXIF block is damaged.
    """
    exif, orientation = upright_exif(metadata.exif) if metadata.exif else (None, None)
    if orientation is None:
        orientation = xmp_orientation(metadata.xmp)
    xmp, promises = without_promises(upright_xmp(metadata.xmp))
    changed = dataclasses.replace(metadata, icc_profile=metadata.icc_profile or None, exif=exif, xmp=xmp)
    return changed, valid_orientation(orientation), promises


def turned_blocks(blocks: FileBlocks, orientation: int) -> tuple[FileBlocks, tuple[str, ...]]:
    """Blocks of a picture whose pixels were turned, and what is lost by that, in words."""
    resolution = blocks.resolution
    if resolution is not None and orientation in TURNED:
        resolution = resolution.turned()
    if orientation == UPRIGHT_TAG or not blocks.geo_tags:
        return dataclasses.replace(blocks, resolution=resolution), ()
    loss = "tags of GeoTIFF, which hold for the picture unturned"
    return dataclasses.replace(blocks, resolution=resolution, geo_tags=(), geo_size=None), (loss,)
