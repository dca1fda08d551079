"""Pictures to files, atomically.

| format | depth | alpha | ICC | EXIF | XMP | beside these |
|---|---|---|---|---|---|---|
| PNG | 8, 16; float becomes 16 | yes | yes | yes | yes | resolution, texts, comments as text, chunks of colour |
| TIFF | 8, 16, float | yes | yes | no maker's notes | yes | resolution, IPTC, GeoTIFF where the size stays |
| JPEG | 8; deeper is rounded | no | yes | yes | yes | resolution, IPTC, comments |
| WebP | 8; deeper is rounded | yes | yes | yes | yes | |
| BMP | 8; deeper is rounded | no | no | no | no | resolution |

What a format cannot hold is left out with a warning. Dimensions in EXIF and XMP are those of the written picture.
"""

import contextlib
import os
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ldrestore.errors import (
    ImageFileError,
    ImageWriteError,
    InputError,
    OutputExistsError,
    PixelRangeError,
    UnsupportedFormatError,
)
from ldrestore.images.bit_depth import to_8_bit
from ldrestore.images.bmp import pillows_density
from ldrestore.images.carried import carried_metadata
from ldrestore.images.formats import MAX_BMP_BYTES, MAX_SIDES, OPAQUE_FORMATS, SUFFIX_FORMATS
from ldrestore.images.jpeg_writing import write_jpeg
from ldrestore.images.metadata import Metadata
from ldrestore.images.pillow_writing import save_with_pillow
from ldrestore.images.png_writing import write_deep_png, write_png
from ldrestore.images.tiff_writing import write_tiff


def check_target(path: str | Path, *, height: int, width: int, has_alpha: bool, format: str | None = None) -> str:
    """Refuse what a format cannot hold, before anything is computed.

    Args:
        path: Where a picture is to be written.
        height: Its rows, enlarged if it will be.
        width: Its columns.
        has_alpha: Whether it has alpha.
        format: See `write_picture`.

    Returns:
        Name of the format.

    Raises:
        UnsupportedFormatError: no such format.
        ImageWriteError: it cannot hold the picture's alpha or size.
    """
    path = Path(path)
    known = sorted(set(SUFFIX_FORMATS.values()))
    file_format = SUFFIX_FORMATS.get(path.suffix.lower()) if format is None else format.upper()
    if file_format not in known:
        raise UnsupportedFormatError(
            path,
            f"cannot write format {format or path.suffix or 'without suffix'}",
            f"choose one of {', '.join(known)}",
        )
    if has_alpha and file_format in OPAQUE_FORMATS:
        raise ImageWriteError(path, f"{file_format} cannot hold the picture's alpha", "write PNG, TIFF or WebP instead")
    most = MAX_SIDES.get(file_format)
    if most is not None and max(height, width) > most:
        raise ImageWriteError(
            path,
            f"cannot be written: {file_format} holds at most {most} pixels a side, this picture has {width}x{height}",
            "write PNG or TIFF instead, by the name of OUT or with --format png",
        )
    if file_format == "BMP" and _bmp_bytes(height, width) > MAX_BMP_BYTES:
        raise ImageWriteError(
            path,
            f"cannot be written: a BMP holds at most {MAX_BMP_BYTES} bytes, which {width}x{height} pixels exceed",
            "write PNG or TIFF instead, by the name of OUT or with --format png",
        )
    return file_format


def _bmp_bytes(height: int, width: int) -> int:
    """Bytes of a BMP of three channels: its headers, and rows of whole words."""
    return 54 + height * ((3 * width + 3) // 4 * 4)


def write_picture(
    pixels: np.ndarray,
    alpha: np.ndarray | None,
    path: str | Path,
    *,
    metadata: Metadata,
    format: str | None = None,
    quality: int = 95,
    overwrite: bool = False,
    on_written: Callable[[Path], None] | None = None,
) -> None:
    """Write a picture: whole or not at all.

    It is written under another name in the same folder, flushed to the disk, and renamed. Values deeper than the format
    holds are rounded to nearest.

    Args:
        pixels: (H, W, 1 or 3), uint8, uint16, or float32 in [0, 1].
        alpha: (H, W), of the same type, or None.
        path: Where; its folder must exist.
        metadata: Of the upright picture.
        format: "JPEG", "PNG", "TIFF", "WEBP" or "BMP"; None takes the suffix's.
        quality: 1 to 100 for JPEG and WebP; WebP is lossless at 100.
        overwrite: Whether an existing file is replaced.
        on_written: Gets the whole file while it has its other name yet, so that what belongs beside the picture lies
            there before the picture does.

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
    height, width = pixels.shape[:2]
    file_format = check_target(path, height=height, width=width, has_alpha=alpha is not None, format=format)
    _check_range(pixels, alpha, path)
    metadata = carried_metadata(metadata, file_format, width=width, height=height)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        _check_place(path, overwrite=overwrite)
        with temporary.open("x+b") as file:
            _encode(pixels, alpha, file, file_format=file_format, quality=quality, metadata=metadata)
            file.flush()
            os.fsync(file.fileno())
        if on_written is not None:
            on_written(temporary)
        temporary.replace(path)
    except ImageFileError:
        raise
    except (OSError, ValueError, struct.error) as error:  # what Pillow, tifffile and the system raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageWriteError(path, f"cannot be written ({reason})", "check folder, space and format") from error
    finally:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)


def _check_place(path: Path, *, overwrite: bool) -> None:
    """Refuse to write where something is, or where no folder is.

    Raises:
        OutputExistsError: the file exists and `overwrite` is False.
        ImageWriteError: there is no such folder.
    """
    if (path.exists() or path.is_symlink()) and not overwrite:  # a link that leads nowhere is something too
        raise OutputExistsError(path, "exists already", "choose another name, or ask for overwriting")
    if not path.parent.is_dir():
        raise ImageWriteError(path, f"there is no folder {path.parent}", "make it first")


def _check_range(pixels: np.ndarray, alpha: np.ndarray | None, path: Path) -> None:
    """Refuse float values that no file can hold.

    Raises:
        PixelRangeError: a value outside [0, 1], or not finite.
    """
    for values in (pixels, alpha):
        if values is not None and values.dtype == np.float32 and not (values.min() >= 0 and values.max() <= 1):
            reach = f"[{float(values.min()):.9g}, {float(values.max()):.9g}]"
            raise PixelRangeError(path, f"float pixels must lie in [0, 1], got {reach}", "clip them first")


def _encode(
    pixels: np.ndarray, alpha: np.ndarray | None, file: BinaryIO, *, file_format: str, quality: int, metadata: Metadata
) -> None:
    """Write a picture in a format that can hold it."""
    if file_format == "TIFF" or (file_format == "PNG" and pixels.dtype != np.uint8):
        values = pixels if alpha is None else np.concatenate([pixels, alpha[..., None]], axis=2)
        if file_format == "TIFF":
            write_tiff(values, file, has_alpha=alpha is not None, metadata=metadata)
        else:
            write_deep_png(values, file, metadata=metadata)
        return
    image = pil_view(pixels, alpha)
    if file_format == "PNG":
        write_png(image, file, metadata=metadata)
    elif file_format == "JPEG":
        write_jpeg(image, file, quality=quality, metadata=metadata)
    elif file_format == "WEBP":
        _write_webp(image, file, quality=quality, metadata=metadata)
    else:
        save_with_pillow(image, file, "BMP", options={"dpi": pillows_density(metadata.blocks.resolution)})


def pil_view(pixels: np.ndarray, alpha: np.ndarray | None) -> Image.Image:
    """An 8-bit image of mode L, LA, RGB or RGBA; deeper values are rounded to nearest.

    Args:
        pixels: (H, W, 1 or 3), uint8, uint16, or float32 in [0, 1].
        alpha: (H, W), of the same type, or None.
    """
    values = to_8_bit(pixels)
    if alpha is not None:
        values = np.concatenate([values, to_8_bit(alpha)[..., None]], axis=2)
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def _write_webp(image: Image.Image, file: BinaryIO, *, quality: int, metadata: Metadata) -> None:
    """Write a WebP; colours under full transparency stay."""
    blocks = {"icc_profile": metadata.icc_profile, "exif": metadata.exif, "xmp": metadata.xmp}
    options: dict[str, Any] = {name: block for name, block in blocks.items() if block}
    options |= {"quality": quality, "lossless": quality == 100, "exact": True}
    save_with_pillow(image, file, "WEBP", options=options)
