"""Orientation: read from the metadata, applied once to the pixels, and reset where the metadata state it."""

import re
from dataclasses import dataclass

import numpy as np

EXIF_PREFIX = b"Exif\0\0"
"""What an EXIF block begins with in a `Photo` and in JPEG files."""
ORIENTATION_TAG = 0x0112
UPRIGHT = 1

_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)([0-9]+)""")
_SHORT = 3  # type of a 16-bit integer in a TIFF directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a file keeps beside the pixels; the blocks state that the picture is upright."""

    orientation: int = UPRIGHT
    """How the stored pixels are turned, 1 to 8, EXIF 2.32, table 6."""
    icc_profile: bytes | None = None
    """Colour profile."""
    exif: bytes | None = None
    """EXIF block with its prefix, without thumbnail."""
    xmp: bytes | None = None
    """XMP packet."""


def metadata_of_blocks(*, icc_profile: bytes | None, exif: bytes | None, xmp: bytes | None) -> Metadata:
    """Metadata of blocks as they lie in a file; EXIF's orientation counts before that of XMP.

    Raises:
        ValueError: the EXIF block is damaged.
    """
    orientation = None
    if exif:
        exif, orientation = upright_exif(exif)
    if orientation is None:
        orientation = xmp_orientation(xmp)
    return Metadata(
        orientation=valid_orientation(orientation),
        icc_profile=icc_profile or None,
        exif=exif or None,
        xmp=upright_xmp(xmp),
    )


def upright_exif(block: bytes) -> tuple[bytes, int | None]:
    """Reset the orientation of an EXIF block in place, so that makers' notes with absolute offsets stay readable.

    The link to the thumbnail is cut: it shows the picture unrestored and unturned.

    Args:
        block: With or without its prefix.

    Returns:
        The block with its prefix, and the orientation that it stated; None where it stated none.

    Raises:
        ValueError: the block is damaged.
    """
    data = bytearray(block)
    while data.startswith(EXIF_PREFIX):
        del data[: len(EXIF_PREFIX)]
    order = {b"II": "little", b"MM": "big"}.get(bytes(data[:2]))
    if order is None or int.from_bytes(data[2:4], order) != 42:
        raise ValueError("the EXIF block has no TIFF header")
    start = int.from_bytes(data[4:8], order)
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], order)
    if not 8 <= start < end <= len(data):
        raise ValueError("the EXIF directory does not fit its block")
    orientation = None
    for entry in range(start + 2, end, 12):
        if int.from_bytes(data[entry : entry + 2], order) == ORIENTATION_TAG:
            size = 2 if int.from_bytes(data[entry + 2 : entry + 4], order) == _SHORT else 4
            orientation = int.from_bytes(data[entry + 8 : entry + 8 + size], order)
            data[entry + 8 : entry + 12] = UPRIGHT.to_bytes(size, order).ljust(4, b"\0")
    data[end : end + 4] = bytes(len(data[end : end + 4]))
    return EXIF_PREFIX + bytes(data), orientation


def xmp_orientation(packet: bytes | None) -> int | None:
    """The orientation that an XMP packet states; None where it states none."""
    match = _XMP_ORIENTATION.search(packet) if packet else None
    return int(match[2]) if match else None


def upright_xmp(packet: bytes | None) -> bytes | None:
    """An XMP packet with its orientation reset; None for none or an empty one."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet) if packet else None


def valid_orientation(orientation: object) -> int:
    """An orientation, 1 to 8; upright for anything else."""
    return int(orientation) if isinstance(orientation, int) and 1 <= orientation <= 8 else UPRIGHT


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a stored picture as its orientation says, EXIF 2.32, table 6.

    Args:
        stored: (H, W) or (H, W, C).
        orientation: 1 to 8.

    Returns:
        A view, upright; H and W change places for 5 to 8.
    """
    if orientation in (5, 6, 7, 8):
        stored = np.swapaxes(stored, 0, 1)
    return _flipped(stored, orientation)


def as_stored(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The inverse of `upright`: a view of an upright array through which stored rows can be written."""
    pixels = _flipped(pixels, orientation)
    return np.swapaxes(pixels, 0, 1) if orientation in (5, 6, 7, 8) else pixels


def _flipped(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rows reversed for 3, 4, 7 and 8, columns for 2, 3, 6 and 7; a view."""
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
