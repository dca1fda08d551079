"""Pictures to files, atomically.

| format | depth | alpha | ICC | EXIF | XMP |
|---|---|---|---|---|---|
| PNG | 8, 16; float becomes 16 | yes | yes | yes | yes |
| TIFF | 8, 16, float | yes | yes | texts such as author and copyright | yes |
| JPEG, WebP | 8; deeper is rounded | WebP | yes | yes | yes |
| BMP | 8; deeper is rounded | no | no | no | no |
"""

import contextlib
import os
import secrets
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

from ldrestore.errors import ImageWriteError, InputError, OutputExistsError, UnsupportedFormatError
from ldrestore.images.formats import SUFFIX_FORMATS
from ldrestore.images.photo import Photo

FULL_CHROMA_QUALITY = 90
"""JPEG quality from which colours keep their full resolution (4:4:4)."""


def write_photo(
    photo: Photo, path: str | Path, *, format: str | None = None, quality: int = 95, overwrite: bool = False
) -> None:
    """Write a picture: whole or not at all.

    It is written under another name in the same folder, flushed to the disk, and renamed.

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
        ImageWriteError: the folder is missing or not writable, the disk is full, or the format cannot hold the picture.
    """
    path = Path(path)
    if not 1 <= quality <= 100:
        raise InputError(f"quality must lie in [1, 100], got {quality}")
    file_format = _checked_format(photo, path, format)
    if path.exists() and not overwrite:
        raise OutputExistsError(path, "exists already", "choose another name, or ask for overwriting")
    if not path.parent.is_dir():
        raise ImageWriteError(path, f"there is no folder {path.parent}", "make it first")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            _encode(photo, file, file_format, quality=quality)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, ValueError, struct.error) as error:  # what Pillow, tifffile and the system raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageWriteError(path, f"cannot be written ({reason})", "check folder, space and format") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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
    is_deep = photo.pixels.dtype != np.uint8
    if file_format == "TIFF":
        _encode_tiff(photo, file)
    elif file_format == "PNG" and is_deep:
        _encode_deep_png(photo, file)
    else:
        photo.to_pil().save(file, file_format, **_pillow_options(photo, file_format, quality=quality))


def _pillow_options(photo: Photo, file_format: str, *, quality: int) -> dict[str, Any]:
    """Arguments of Pillow's `save` for 8-bit files."""
    options: dict[str, Any] = {}
    if file_format == "BMP":
        return options
    if photo.icc_profile:
        options["icc_profile"] = photo.icc_profile
    if photo.exif:
        options["exif"] = photo.exif
    if file_format == "PNG":
        if photo.xmp:
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", photo.xmp.decode("utf-8", "replace"))
        return options
    if photo.xmp:
        options["xmp"] = photo.xmp
    options["quality"] = quality
    if file_format == "JPEG":
        options |= {"subsampling": 0 if quality >= FULL_CHROMA_QUALITY else 2, "optimize": True}
    else:
        options |= {"lossless": quality == 100, "exact": True}  # exact: colours under full transparency stay
    return options


def _with_alpha(photo: Photo) -> np.ndarray:
    """Pixels and alpha side by side: (H, W, 1 to 4)."""
    if photo.alpha is None:
        return photo.pixels
    return np.concatenate([photo.pixels, photo.alpha[..., None]], axis=2)


def _encode_tiff(photo: Photo, file: BinaryIO) -> None:
    """A TIFF of the picture's own depth, compressed without loss."""
    values = _with_alpha(photo)
    tags: list[tuple[Any, ...]] = []
    if photo.icc_profile:
        tags.append((34675, 7, len(photo.icc_profile), photo.icc_profile, True))
    if photo.xmp:
        tags.append((700, 1, len(photo.xmp), photo.xmp, True))
    options: dict[str, Any] = {}
    if photo.exif:
        exif = Image.Exif()
        exif.load(photo.exif)
        texts = {code: exif.get(code) for code in (0x010F, 0x0110, 0x013B, 0x8298)}
        tags += [(code, 2, 0, text, True) for code, text in texts.items() if isinstance(text, str)]
        options = {"software": exif.get(0x0131), "datetime": exif.get(0x0132), "description": exif.get(0x010E)}
    tifffile.imwrite(
        file,
        values[..., 0] if values.shape[2] == 1 else values,
        photometric="rgb" if photo.num_channels == 3 else "minisblack",
        planarconfig=None if values.shape[2] == 1 else "contig",
        extrasamples=["unassalpha"] if photo.alpha is not None else None,
        compression="zlib",
        predictor=values.dtype.kind == "u",
        metadata=None,
        extratags=tags,
        **{name: value for name, value in options.items() if isinstance(value, str)},
    )


def _encode_deep_png(photo: Photo, file: BinaryIO) -> None:
    """A PNG of 16 bits a channel, which Pillow cannot write in colour; W3C PNG, third edition."""
    values = _with_alpha(photo)
    if values.dtype == np.float32:
        values = np.rint(values * 65535.0).astype(np.uint16)
    height, width, channels = values.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    file.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    if photo.icc_profile:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(photo.icc_profile))
    if photo.exif:
        _write_chunk(file, b"eXIf", photo.exif.removeprefix(b"Exif\0\0"))
    if photo.xmp:
        _write_chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + photo.xmp)
    compressor = zlib.compressobj(6)
    previous = np.zeros((1, width * channels * 2), np.uint8)
    for first in range(0, height, 256):  # bands, so that no second copy of the picture is needed
        rows = values[first : first + 256].astype(">u2").reshape(-1, width * channels).view(np.uint8)
        above = np.concatenate([previous, rows[:-1]])
        filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        filtered[:, 0] = 2  # filter type Up
        filtered[:, 1:] = rows - above
        previous = rows[-1:]
        band = compressor.compress(filtered.tobytes())
        if band:
            _write_chunk(file, b"IDAT", band)
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    """One chunk of a PNG: length, kind, data, checksum."""
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
