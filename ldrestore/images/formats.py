"""Which picture formats are read and written, told apart by content when reading and by suffix when writing."""

from pathlib import Path

READ_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "HEIF")
"""The formats that are opened; nothing else is tried."""

SUFFIX_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}
"""Suffix, lower case, to the format that is written."""

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Read where pillow-heif is installed, never written."""

SUPPORTED_SUFFIXES = frozenset(SUFFIX_FORMATS) | HEIF_SUFFIXES
"""Suffixes by which a folder's pictures are found."""

MAX_SIDES = {"JPEG": 65_500, "WEBP": 16_383}
"""The most pixels along a side that a format, or its encoder, holds; BMP ends at `MAX_BMP_BYTES`, others where memory
does."""

MAX_BMP_BYTES = 2**32 - 1
"""A BMP states its size in 32 bits."""

OPAQUE_FORMATS = frozenset({"JPEG", "BMP"})
"""They cannot hold alpha."""

LOSSY_FORMATS = frozenset({"JPEG", "WEBP"})
"""Those with a quality."""

HEAD_BYTES = 32
"""So many of a file's first bytes tell its format."""

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})


def is_image_path(path: str | Path) -> bool:
    """Whether a file's suffix is that of a picture format that can be read."""
    return Path(path).suffix.lower() in SUPPORTED_SUFFIXES


def format_of(head: bytes) -> str | None:
    """One of `READ_FORMATS` by a file's first bytes; None for anything else."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "HEIF"
    return next((name for signature, name in _SIGNATURES.items() if head.startswith(signature)), None)
