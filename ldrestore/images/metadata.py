"""Orientation: applied once to the pixels, and reset where the metadata state it."""

import re

import numpy as np
from PIL import Image

ORIENTATION_TAG = 0x0112
UPRIGHT = 1

_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>))\s*[0-9]+""")


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation of an opened picture, 1 to 8; 1 where there is none or an undefined one.

    Pillow takes it from the XMP packet where a file has no EXIF.
    """
    orientation = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
    return orientation if orientation in range(1, 9) else UPRIGHT


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a stored picture as its orientation says, EXIF 2.32, table 6.

    Args:
        pixels: (H, W) or (H, W, C).
        orientation: 1 to 8.

    Returns:
        The upright picture, contiguous; H and W change places for 5 to 8.
    """
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def exif_of(image: Image.Image) -> bytes | None:
    """The EXIF block of an opened picture with its orientation reset; None where there is none."""
    exif = image.getexif()
    if image.format == "TIFF":  # there it is the file's own first directory: keep what describes the picture
        kept = Image.Exif()
        for tag, value in exif.items():
            if tag in _TIFF_DESCRIPTIVE_TAGS:
                kept[tag] = value
        exif = kept
    if not exif:
        return None
    if ORIENTATION_TAG in exif:
        exif[ORIENTATION_TAG] = UPRIGHT
    return exif.tobytes()


def xmp_of(image: Image.Image) -> bytes | None:
    """The XMP packet of an opened picture with its orientation reset; None where there is none."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet is None and image.format == "TIFF":
        packet = getattr(image, "tag_v2", {}).get(700)
    return upright_xmp(packet.encode() if isinstance(packet, str) else packet)


def upright_xmp(packet: bytes | None) -> bytes | None:
    """An XMP packet with its orientation reset; None for none or an empty one."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet) if packet else None


_TIFF_DESCRIPTIVE_TAGS = frozenset(
    {
        0x010E,  # ImageDescription
        0x010F,  # Make
        0x0110,  # Model
        0x0112,  # Orientation
        0x0131,  # Software
        0x0132,  # DateTime
        0x013B,  # Artist
        0x8298,  # Copyright
    }
)
