"""Pictures to files, atomically.

| format | depth | alpha | ICC | EXIF | XMP |
|---|---|---|---|---|---|
| PNG | 8, 16; float becomes 16 | yes | yes | yes | yes |
| TIFF | 8, 16, float | yes | yes | texts, camera, GPS; no maker's notes | yes |
| JPEG, WebP | 8; deeper is rounded | WebP | yes | yes | yes |
| BMP | 8; deeper is rounded | no | no | no | no |
"""

import contextlib
import os
import secrets
import struct
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import PngImagePlugin

from ldrestore.errors import (
    ImageFileError,
    ImageWriteError,
    InputError,
    OutputExistsError,
    PixelRangeError,
    UnsupportedFormatError,
)
from ldrestore.images.formats import SUFFIX_FORMATS
from ldrestore.images.photo import Photo
from ldrestore.images.png import XMP_KEYWORD, write_deep_png
from ldrestore.images.tiff import write_tiff

FULL_CHROMA_QUALITY = 90
"""JPEG quality from which colours keep their full resolution (4:4:4)."""
MAX_JPEG_BLOCK = 65_504
"""The largest EXIF or XMP block, in bytes, that one segment of a JPEG holds."""


def write_photo(
    photo: Photo, path: str | Path, *, format: str | None = None, quality: int = 95, overwrite: bool = False
) -> None:
    """Write a picture: whole or not at all.

    It is written under another name in the same folder, flushed to the disk, and renamed. Values deeper than the format
    holds are rounded to nearest.

    Args:
        photo: What to write.
        path: Where; its folder must exist.
        format: "JPEG", "PNG", "TIFF", "WEBP" or "BMP"; None takes the suffix's.
        quality: 1 to 100 for JPEG and WebP; WebP is lossless at 100.
        overwrite: Whether an existing file is replaced.

    Raises:
        InputError: the quality is out of range.
        UnsupportedFormatError: no such format.
        OutputExistsError: the file exists and `overwrite` is False.
        PixelRangeError: float values outside [0, 1].
        ImageWriteError: the folder is missing or not writable, the disk is full, or the format cannot hold the picture.
    """
    path = Path(path)
    if not 1 <= quality <= 100:
        raise InputError(f"quality must lie in [1, 100], got {quality}")
    file_format = _checked_format(photo, path, format)
    _check_range(photo, path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        _check_target(path, overwrite=overwrite)
        with temporary.open("x+b") as file:
            _encode(photo, file, file_format, quality=quality)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except ImageFileError:
        raise
    except (OSError, ValueError, struct.error) as error:  # what Pillow, tifffile and the system raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageWriteError(path, f"cannot be written ({reason})", "check folder, space and format") from error
    finally:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


def _check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse to write where something is, or where no folder is.

    Raises:
        OutputExistsError: the file exists and `overwrite` is False.
        ImageWriteError: there is no such folder.
    """
    if path.exists() and not overwrite:
        raise OutputExistsError(path, "exists already", "choose another name, or ask for overwriting")
    if not path.parent.is_dir():
        raise ImageWriteError(path, f"there is no folder {path.parent}", "make it first")


def _check_range(photo: Photo, path: Path) -> None:
    """Refuse float values that no file can hold.

    Raises:
        PixelRangeError: a value outside [0, 1], or not finite.
    """
    for values in (photo.pixels, photo.alpha):
        if values is not None and values.dtype == np.float32 and not (values.min() >= 0 and values.max() <= 1):
            raise PixelRangeError(
                path, f"float pixels must lie in [0, 1], got [{values.min():g}, {values.max():g}]", "clip them first"
            )


def _checked_format(photo: Photo, path: Path, asked: str | None) -> str:
    """The format to write.

    Raises:
        UnsupportedFormatError: no such format.
        ImageWriteError: it cannot hold the picture's alpha.
    """
    known = sorted(set(SUFFIX_FORMATS.values()))
    file_format = SUFFIX_FORMATS.get(path.suffix.lower()) if asked is None else asked.upper()
    if file_format not in known:
        raise UnsupportedFormatError(
            path, f"cannot write format {asked or path.suffix or 'without suffix'}", f"choose one of {', '.join(known)}"
        )
    if photo.alpha is not None and file_format in ("JPEG", "BMP"):
        raise ImageWriteError(path, f"{file_format} cannot hold the picture's alpha", "write PNG, TIFF or WebP instead")
    return file_format


def _encode(photo: Photo, file: BinaryIO, file_format: str, *, quality: int) -> None:
    """Write a picture in a format that can hold it."""
    if file_format == "TIFF":
        write_tiff(photo, file)
    elif file_format == "PNG" and photo.pixels.dtype != np.uint8:
        values = photo.pixels if photo.alpha is None else np.concatenate([photo.pixels, photo.alpha[..., None]], axis=2)
        write_deep_png(values, file, icc_profile=photo.icc_profile, exif=photo.exif, xmp=photo.xmp)
    else:
        options = {} if file_format == "BMP" else _pillow_options(photo, file_format, quality=quality)
        photo.to_pil().save(file, file_format, **options)


def _pillow_options(photo: Photo, file_format: str, *, quality: int) -> dict[str, Any]:
    """Arguments of Pillow's `save` for 8-bit JPEG, PNG and WebP."""
    blocks = {"icc_profile": photo.icc_profile, "exif": photo.exif, "xmp": photo.xmp}
    options: dict[str, Any] = {name: block for name, block in blocks.items() if block}
    if file_format == "PNG":
        if packet := options.pop("xmp", None):
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt(XMP_KEYWORD.decode(), packet.decode("utf-8", "replace"))
    elif file_format == "JPEG":
        for name in ("exif", "xmp"):
            if len(options.get(name, b"")) > MAX_JPEG_BLOCK:
                warnings.warn(
                    f"{len(options.pop(name))} bytes of {name} do not fit a JPEG and are left out", stacklevel=2
                )
        options |= {"quality": quality, "subsampling": 0 if quality >= FULL_CHROMA_QUALITY else 2}
    else:
        options |= {"quality": quality, "lossless": quality == 100}
        options["exact"] = True  # colours under full transparency stay
    return options
