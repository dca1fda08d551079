"""Which picture formats are read and written, told apart by content when reading and by suffix when writing."""

from pathlib import Path

READ_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")
"""Pillow's names of the formats that are opened; nothing else is tried."""

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

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"})


def is_image_path(path: str | Path) -> bool:
    """Whether a file's suffix is that of a picture format that can be read."""
    return Path(path).suffix.lower() in SUPPORTED_SUFFIXES


def is_tiff(head: bytes) -> bool:
    """Whether a file's first bytes are those of a TIFF or BigTIFF."""
    return head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def is_heif(head: bytes) -> bool:
    """Whether a file's first twelve bytes are those of a HEIF file that holds HEVC pictures."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def is_deep_png(head: bytes) -> bool:
    """Whether a file's first 26 bytes are those of a PNG of 16 bits a channel."""
    return head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR" and head[24:25] == b"\x10"
