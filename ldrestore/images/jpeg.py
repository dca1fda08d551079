"""JPEG, with what lies in its segments and behind its end."""

import os
from pathlib import Path
from typing import Any

from PIL.JpegImagePlugin import JpegImageFile

from ldrestore.errors import ImageTooLargeError
from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.exif import exif_resolution
from ldrestore.images.formats import MAX_SIDES
from ldrestore.images.metadata import CREDENTIALS, FileBlocks, Metadata
from ldrestore.images.photoshop import SEGMENT_HEADER, iptc_of_resources
from ldrestore.images.pillow_pixels import pixels_of
from ldrestore.images.resolution import Resolution, Unit, resolution_of
from ldrestore.images.xmp import EXTENSION, GAIN_MAP, VIDEO

_DENSITY_UNITS: dict[int, Unit] = {0: "none", 1: "inch", 2: "centimetre"}
_PROMISING_SEGMENTS = {
    b"http://ns.adobe.com/xmp/extension/\0": EXTENSION,
    b"urn:iso:std:iso:ts:21496:-1\0": GAIN_MAP,
    b"MPF\0": "previews and other pictures behind the first one",
    b"JP\0\1": CREDENTIALS,
}
"""What the segments of data that are not carried begin with."""
_PROFILE_HEADER = b"ICC_PROFILE\0"
_SAMSUNG_TAIL, _SAMSUNG_VIDEO = b"SEFT", b"MotionPhoto_Data"


def decode_jpeg(path: Path, check_size: SizeCheck) -> Decoded:
    """A JPEG; pictures and videos behind the first picture are not looked at.

    CMYK becomes sRGB and loses its profile.

    Raises:
        ImageTooLargeError: more pixels than allowed, or than libjpeg decodes along a side.
    """
    # Pillow's class is called itself: `Image.open` takes a camera's JPEG with a preview behind it for an animation.
    image = JpegImageFile(path)
    with image:  # whose own class `with` would hide from the type checker
        check_size(*image.size)
        _check_sides(path, *image.size)
        pixels, alpha = pixels_of(image, path)
        metadata = jpeg_metadata(image)
        segments = [data for _, data in image.applist]
    losses = [loss for header, loss in _PROMISING_SEGMENTS.items() if any(data.startswith(header) for data in segments)]
    losses += [VIDEO] * _has_samsung_video(path)
    has_profile = any(data.startswith(_PROFILE_HEADER) for data in segments)
    damages = ("a part of the colour profile is missing",) if has_profile and not image.info.get("icc_profile") else ()
    return Decoded(pixels=pixels, alpha=alpha, metadata=metadata, bit_depth=8, losses=tuple(losses), damages=damages)


def _check_sides(path: Path, width: int, height: int) -> None:
    """Refuse what libjpeg refuses, with its reason.

    Raises:
        ImageTooLargeError: a side is too long.
    """
    most = MAX_SIDES["JPEG"]
    if max(width, height) > most:
        raise ImageTooLargeError(
            path,
            f"the header announces {width}x{height} pixels, and JPEGs of more than {most} a side cannot be decoded",
            "cut it, or write it as PNG or TIFF, with the program that made it",
        )


def jpeg_metadata(image: JpegImageFile) -> Metadata:
    """All blocks of a file that Pillow has opened."""
    info = image.info
    segments = [data for name, data in image.applist if name == "APP13" and data.startswith(SEGMENT_HEADER)]
    resources = b"".join(data.removeprefix(SEGMENT_HEADER) for data in segments)  # one may go on in the next
    return Metadata(
        icc_profile=None if image.mode == "CMYK" else info.get("icc_profile"),
        exif=info.get("exif"),
        xmp=info.get("xmp"),
        blocks=FileBlocks(
            resolution=_density_of(info) or exif_resolution(info.get("exif")),
            iptc=iptc_of_resources(resources),
            comments=tuple(data for name, data in image.applist if name == "COM" and data),
        ),
    )


def _density_of(info: dict[Any, Any]) -> Resolution | None:
    """The resolution of the JFIF header, if there is one that states any."""
    unit = _DENSITY_UNITS.get(info.get("jfif_unit", -1))
    if unit is None:
        return None
    x, y = info["jfif_density"]
    return resolution_of(x, y, unit)


def _has_samsung_video(path: Path) -> bool:
    """Whether a phone has put a video behind the picture that no XMP announces."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(_SAMSUNG_TAIL)))
        if file.read() != _SAMSUNG_TAIL:
            return False
        file.seek(0)
        return _SAMSUNG_VIDEO in file.read()
