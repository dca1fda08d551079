"""TIFF, revision 6.0: grey and RGB of 8, 16 and 32 bits through tifffile, everything else through Pillow."""

import dataclasses
import logging
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ldrestore.errors import CorruptImageError, PixelRangeError, UnsupportedFormatError
from ldrestore.images.decoding import (
    check_size,
    photo_of_pil,
    photo_of_values,
    warn_of_damaged_metadata,
    warn_of_more_frames,
)
from ldrestore.images.metadata import ORIENTATION_TAG, Metadata, metadata_of_blocks, valid_orientation
from ldrestore.images.photo import Photo

TEXT_TAGS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
"""ImageDescription, Make, Model, Software, DateTime, Artist, Copyright."""
CAMERA_TAGS = (0x8769, 0x8825)
"""Where the EXIF and GPS directories lie."""
XMP_TAG, PROFILE_TAG = 700, 34675

_EXTRA_SAMPLES_TAG, _ASSOCIATED_ALPHA = 338, 1
_WHITE_IS_ZERO, _RGB = 0, 2
_BYTE, _ASCII, _LONG, _UNDEFINED = 1, 2, 4, 7  # types of a directory's values
_PLAIN_TYPES = {("uint8", 8), ("uint16", 16), ("float16", 16), ("float32", 32), ("float64", 64)}
_SILENT = logging.NullHandler()


def read_tiff(path: Path, *, max_pixels: int, clip: bool) -> Photo:
    """The first page of a TIFF or BigTIFF, orientation applied.

    Colours that are multiplied by alpha are divided by it. EXIF holds texts, camera's and GPS data; makers' notes
    are left out.

    Raises:
        UnsupportedFormatError: other types or colour spaces.
        CorruptImageError: the header contradicts itself.
        ImageTooLargeError: more pixels than allowed.
        PixelRangeError: float values outside [0, 1] that are not to be clipped, or not finite.
    """
    logging.getLogger("tifffile").addHandler(_SILENT)  # or its notes on damaged files go to the terminal
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        _check_page(page, path, max_pixels=max_pixels)
        warn_of_more_frames(path, len(file.pages))
        metadata = _metadata_of(path)
        if page.photometric > _RGB or page.bitspersample < 8:
            return _read_with_pillow(path, metadata, page)
        values = np.asarray(page.asarray())
    values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values
    values = values if values.ndim == 3 else values[..., None]  # (H, W, 1 to 4)
    if values.dtype.kind == "f":
        values = _checked_floats(values, path, clip=clip)
    tag = page.tags.get(_EXTRA_SAMPLES_TAG)
    is_multiplied = tag is not None and _ASSOCIATED_ALPHA in np.atleast_1d(tag.value)
    if page.photometric == _WHITE_IS_ZERO:
        white = 1.0 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
        values[..., :1] = white - values[..., :1]
    if is_multiplied and values.shape[2] in (2, 4):
        values = _straight(values)
    return photo_of_values(values, metadata, format="TIFF", path=path)


def write_tiff(photo: Photo, file: BinaryIO) -> None:
    """Write a TIFF of the picture's own depth, compressed without loss; the file is open for reading and writing."""
    values = photo.pixels
    if photo.alpha is not None:
        values = np.concatenate([values, photo.alpha[..., None]], axis=2)
    tags: list[tuple[Any, ...]] = []
    if photo.icc_profile:
        tags.append((PROFILE_TAG, _UNDEFINED, len(photo.icc_profile), photo.icc_profile, True))
    if photo.xmp:
        tags.append((XMP_TAG, _BYTE, len(photo.xmp), photo.xmp, True))
    exif = Image.Exif()
    exif.load(photo.exif or b"")
    for tag in TEXT_TAGS:
        if isinstance(exif.get(tag), str):
            text = exif[tag].encode("utf-8", "replace") + b"\0"
            tags.append((tag, _ASCII, len(text), text, True))
    camera = {tag: directory for tag in CAMERA_TAGS if (directory := exif.get_ifd(tag))}
    tags += [(tag - 1, _LONG, 1, 0, True) for tag in camera]  # stands in for what tifffile does not write
    tifffile.imwrite(
        file,
        values[..., 0] if values.shape[2] == 1 else values,
        byteorder="<",
        photometric="rgb" if photo.num_channels == 3 else "minisblack",
        planarconfig=None if values.shape[2] == 1 else "contig",
        extrasamples=["unassalpha"] if photo.alpha is not None else None,
        compression="zlib",
        predictor=values.dtype.kind == "u",
        metadata=None,
        software=False,
        extratags=tags,
    )
    for tag, directory in camera.items():
        _append_directory(file, tag, directory)


def _append_directory(file: BinaryIO, tag: int, values: dict[int, Any]) -> None:
    """Add a directory at the end of a little-endian TIFF, and point the first directory's stand-in for the tag to it.

    Files above 4 GB (BigTIFF) are left as they are: their entries are longer.
    """
    file.seek(0)
    head = file.read(8)
    if head[:4] != b"II*\0":
        return
    directory = ImageFileDirectory_v2(head, group=tag)
    for key, value in values.items():
        directory[key] = value
        if isinstance(value, bytes) and TiffTags.lookup(key, tag).type is None:  # Pillow would say bytes
            directory.tagtype[key] = _UNDEFINED
    end = file.seek(0, 2)
    file.write(b"\0" * (end % 2))
    end += end % 2
    file.write(directory.tobytes(end))
    (start,) = struct.unpack("<I", head[4:8])
    file.seek(start)
    (num_entries,) = struct.unpack("<H", file.read(2))
    entries = file.read(12 * num_entries)
    index = next(i for i in range(0, len(entries), 12) if struct.unpack_from("<H", entries, i) == (tag - 1,))
    file.seek(start + 2 + index)
    file.write(struct.pack("<HHII", tag, _LONG, 1, end))


def _check_page(page: Any, path: Path, *, max_pixels: int) -> None:
    """Refuse what cannot be held, before anything is decoded.

    Raises:
        ImageTooLargeError: more pixels than allowed.
        UnsupportedFormatError: other types or colour spaces.
        CorruptImageError: the header contradicts itself.
    """
    width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel
    check_size(path, width, height, max_pixels=max_pixels)
    if page.is_tiled:
        check_size(path, page.tilewidth, page.tilelength, max_pixels=max_pixels)
    # Pillow and tifffile leave black what no strip or tile fills.
    if len(page.dataoffsets) != math.prod(page.chunked) or not all(page.dataoffsets) or not all(page.databytecounts):
        raise CorruptImageError(path, "part of the pixels is missing", "get an intact copy of the file")
    if page.photometric > _RGB or page.bitspersample < 8:
        return  # left to Pillow
    kind = (page.dtype.name if page.dtype is not None else "unknown", page.bitspersample)
    if kind not in _PLAIN_TYPES:
        raise UnsupportedFormatError(
            path, f"TIFF samples of {kind[1]} bits ({kind[0]}) are not supported", "store 8 or 16 bits, or float"
        )
    if page.axes not in ("YX", "YXS", "SYX") or samples > 4:
        raise UnsupportedFormatError(
            path, f"TIFF pages of axes {page.axes} and {samples} samples are not supported", "make it grey or RGB first"
        )
    if math.prod(page.shape) != width * height * samples:
        raise CorruptImageError(path, "the TIFF header contradicts itself", "get an intact copy of the file")


def _read_with_pillow(path: Path, metadata: Metadata, page: Any) -> Photo:
    """A page of a palette, of CMYK, YCbCr or of less than 8 bits.

    Raises:
        UnsupportedFormatError: Pillow does not know the kind either.
    """
    with path.open("rb") as file:  # by its name, Pillow would map it to memory, and confuse height and width if turned
        try:
            image = TiffImageFile(file)
        except SyntaxError as error:
            kind = f"colour space {page.photometric!s} and {page.bitspersample} bits"
            raise UnsupportedFormatError(
                path, f"TIFF pages of {kind} are not supported ({error})", "convert it to grey or RGB first"
            ) from error
        image.load()  # Pillow turns TIFFs, and no other format, upright by itself
        orientation = valid_orientation(image.getexif().get(ORIENTATION_TAG))
        return photo_of_pil(image, path=path, metadata=dataclasses.replace(metadata, orientation=orientation))


def _metadata_of(path: Path) -> Metadata:
    """Profile, XMP, texts and the camera's data of the first page; damaged ones are left out with a warning."""
    with path.open("rb") as file:
        head = file.read(16)
        is_big = b"+" in head[2:4]
        directory = ImageFileDirectory_v2(head if is_big else head[:8])
        exif, kept = Image.Exif(), Image.Exif()
        exif.bigtiff, exif.endian = is_big, "<" if head[:2] == b"II" else ">"
        try:
            exif.load_from_fp(file, directory.next)
            kept.update({tag: exif[tag] for tag in (*TEXT_TAGS, ORIENTATION_TAG) if tag in exif})
            kept.update({tag: camera for tag in CAMERA_TAGS if (camera := exif.get_ifd(tag))})
            metadata = metadata_of_blocks(
                icc_profile=_bytes_of(exif.get(PROFILE_TAG)),
                exif=kept.tobytes() if kept else None,
                xmp=_bytes_of(exif.get(XMP_TAG)),
            )
        except Exception as error:  # Pillow's parser raises whatever the damage leads to; the pixels may still be good
            warn_of_damaged_metadata(path, error)
            return Metadata()
    is_orientation_all = set(kept) <= {ORIENTATION_TAG}  # a tag that most TIFFs have; no EXIF block is made of it
    return dataclasses.replace(metadata, exif=None) if is_orientation_all else metadata


def _bytes_of(value: Any) -> bytes | None:
    """A tag's value where it is bytes."""
    return value if isinstance(value, bytes) else None


def _checked_floats(values: np.ndarray, path: Path, *, clip: bool) -> np.ndarray:
    """Floats as float32.

    Raises:
        PixelRangeError: a value outside [0, 1], or not finite.
    """
    low, high = float(values.min()), float(values.max())
    is_inside = low >= 0 and high <= 1  # false for NaN too
    if not is_inside and not (clip and math.isfinite(low) and math.isfinite(high)):
        raise PixelRangeError(
            path,
            f"float pixels must lie in [0, 1], got [{low:.9g}, {high:.9g}]",
            "rescale them, or clip them with --clip on the command line and clip=True in Python",
        )
    if not is_inside:
        values = values.clip(0, 1)
    return values.astype(np.float32, copy=False)


def _straight(values: np.ndarray) -> np.ndarray:
    """Colours divided by the alpha they were multiplied with; (H, W, 2 or 4) to the same shape and type."""
    white = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    straight = values.copy()
    for row, source in zip(straight, values, strict=True):  # row by row: float64 of the whole picture is too much
        alpha = source[:, -1:] / white
        colours = np.minimum(source[:, :-1] / np.where(alpha > 0, alpha, 1.0), white)
        row[:, :-1] = colours if values.dtype.kind == "f" else np.rint(colours)
    return straight
