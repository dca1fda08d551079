"""Decoders: an open file to upright pixels, alpha and metadata; what they raise is sorted out in `files.py`."""

import io
import math
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

from ldrestore.errors import CorruptImageError, ImageTooLargeError, PixelRangeError, UnsupportedFormatError
from ldrestore.images.metadata import ORIENTATION_TAG, exif_of, orientation_of, upright, upright_xmp, xmp_of
from ldrestore.images.photo import Photo

_GREY, _RGB = {"L", "LA"}, {"RGB", "RGBA"}


def photo_of_pil(image: Image.Image, *, path: Path | None) -> Photo:
    """A Pillow image of any mode, orientation applied.

    Palettes become RGB, transparency becomes alpha, CMYK becomes sRGB and loses its profile, 1-bit becomes grey.

    Args:
        image: Opened; decoded here.
        path: The file it came from, for messages.

    Raises:
        UnsupportedFormatError: a mode such as LAB that has no place here.
    """
    image.load()
    metadata = _metadata_of(image, path)
    orientation = metadata.pop("orientation")
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.uint16)
        return Photo(pixels=upright(deep[..., None], orientation), path=path, **metadata)
    if image.mode == "CMYK":
        image, metadata["icc_profile"] = _cmyk_to_srgb(image), None
    values = np.asarray(_in_plain_mode(image, path))
    values = upright(values if values.ndim == 3 else values[..., None], orientation)
    return _with_alpha_apart(values, path=path, **metadata)


def photo_of_deep_png(data: bytes, *, path: Path) -> Photo:
    """A PNG of 16 bits a channel, whose colours Pillow would cut to 8; metadata through Pillow.

    Raises:
        CorruptImageError: a chunk is damaged or missing.
    """
    _check_png_chunks(data, path)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise CorruptImageError(path, "the picture data are damaged", "get an intact copy of the file")
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        metadata = _metadata_of(image, path)
    orientation = metadata.pop("orientation")
    values = decoded if decoded.ndim == 3 else decoded[..., None]
    is_grey = data[25] in (0, 4)  # colour type of the header
    if is_grey and values.shape[2] >= 3:  # OpenCV gives grey with alpha back as BGRA
        values = values[..., [0, 3]] if values.shape[2] == 4 else values[..., :1]
    elif values.shape[2] >= 3:
        values = values[..., [2, 1, 0, 3][: values.shape[2]]]
    return _with_alpha_apart(upright(values, orientation), path=path, **metadata)


def photo_of_deep_tiff(path: Path, *, max_pixels: int) -> Photo:
    """A TIFF of 16 or 32 bits a channel, grey or RGB, with or without alpha.

    Raises:
        UnsupportedFormatError: other types or colour spaces.
        ImageTooLargeError: more pixels than allowed.
        PixelRangeError: float values outside [0, 1], or not finite.
    """
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        _check_tiff_page(page, path, max_pixels=max_pixels)
        if len(file.pages) > 1:
            warn_of_more_frames(path, len(file.pages))
        values = np.asarray(page.asarray())
        tags = {tag.code: tag.value for tag in page.tags}
        is_planar = page.axes == "SYX"
    values = np.moveaxis(values, 0, -1) if is_planar else values
    values = values if values.ndim == 3 else values[..., None]
    if values.dtype.kind == "f":
        values = _checked_floats(values, path)
    if tags.get(262) == 0:  # WhiteIsZero
        values = (1.0 if values.dtype.kind == "f" else np.array(65535, np.uint16)) - values
    if values.shape[2] in (2, 4) and 1 in np.atleast_1d(tags.get(338, 2)):  # associated alpha: colours are multiplied
        values = _straight(values)
    orientation = tags.get(ORIENTATION_TAG, 1)
    values = upright(values, orientation if orientation in range(1, 9) else 1)
    return _with_alpha_apart(
        values,
        path=path,
        format="TIFF",
        icc_profile=tags.get(34675),
        exif=_exif_of_tags(tags),
        xmp=upright_xmp(tags.get(700)),
    )


def warn_of_more_frames(path: Path | None, num_frames: int) -> None:
    """Say that only the first frame of an animated or many-paged file is used."""
    warnings.warn(f"{path}: has {num_frames} frames; only the first is used", UserWarning, stacklevel=2)


def _metadata_of(image: Image.Image, path: Path | None) -> dict[str, Any]:
    """Orientation, ICC, EXIF, XMP and format of a Pillow image; damaged EXIF is left out with a warning."""
    file_format = "JPEG" if image.format == "MPO" else image.format
    metadata: dict[str, Any] = {"icc_profile": image.info.get("icc_profile") or None, "format": file_format}
    try:
        return {**metadata, "orientation": orientation_of(image), "exif": exif_of(image), "xmp": xmp_of(image)}
    except Exception as error:  # Pillow's EXIF parser raises whatever the damage leads to; the pixels are still good
        warnings.warn(f"{path}: damaged metadata are left out ({error})", UserWarning, stacklevel=2)
        return {**metadata, "orientation": 1, "exif": None, "xmp": None}


def _in_plain_mode(image: Image.Image, path: Path | None) -> Image.Image:
    """A Pillow image in mode L, LA, RGB or RGBA.

    Raises:
        UnsupportedFormatError: the mode has no such counterpart.
    """
    is_transparent = "transparency" in image.info
    if image.mode in _GREY | _RGB and not is_transparent:
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "L":
        return image.convert("LA")
    if image.mode in ("P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"):
        return image.convert("RGBA" if is_transparent or image.mode in ("PA", "RGBA") else "RGB")
    raise UnsupportedFormatError(
        path or "image", f"pictures of mode {image.mode} are not supported", "convert it to RGB or grey first"
    )


def _cmyk_to_srgb(image: Image.Image) -> Image.Image:
    """CMYK to sRGB, by its profile where it has a good one."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except ImageCms.PyCMSError as error:
            warnings.warn(f"the CMYK profile cannot be used, colours are approximate ({error})", stacklevel=2)
        else:
            assert converted is not None  # None comes back only from conversions in place
            return converted
    return image.convert("RGB")


def _with_alpha_apart(values: np.ndarray, **fields: Any) -> Photo:
    """A photo of (H, W, 1 to 4) values, whose second or fourth channel is alpha."""
    if values.shape[2] in (2, 4):
        return Photo(
            pixels=np.ascontiguousarray(values[..., :-1]), alpha=np.ascontiguousarray(values[..., -1]), **fields
        )
    return Photo(pixels=np.ascontiguousarray(values), **fields)


def _check_png_chunks(data: bytes, path: Path) -> None:
    """Walk through the chunks; OpenCV takes some truncated files for whole.

    Raises:
        CorruptImageError: a checksum is wrong, or the end is missing.
    """
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind, end = data[position + 4 : position + 8], position + 8 + length
        stored = data[end : end + 4]
        if len(stored) < 4 or zlib.crc32(data[position + 4 : end]) != int.from_bytes(stored, "big"):
            break
        if kind == b"IEND":
            return
        position = end + 4
    raise CorruptImageError(
        path, f"the file is damaged or cut off at byte {position}", "get an intact copy of the file"
    )


def _check_tiff_page(page: Any, path: Path, *, max_pixels: int) -> None:
    """Refuse what cannot be held, before anything is decoded.

    Raises:
        ImageTooLargeError: more pixels than allowed.
        UnsupportedFormatError: other types or colour spaces.
    """
    if page.axes not in ("YX", "YXS", "SYX") or page.samplesperpixel > 4 or page.photometric not in (0, 1, 2):
        raise UnsupportedFormatError(
            path,
            f"TIFF pages of axes {page.axes}, {page.samplesperpixel} samples and colour space {page.photometric} "
            "are not supported",
            "convert it to grey or RGB first",
        )
    if page.dtype is None or page.dtype.name not in ("uint8", "uint16", "float16", "float32", "float64"):
        raise UnsupportedFormatError(
            path, f"TIFF samples of type {page.dtype} are not supported", "store them as 8- or 16-bit integers or float"
        )
    check_size(path, page.imagewidth, page.imagelength, max_pixels=max_pixels)
    if math.prod(page.shape) != page.imagewidth * page.imagelength * page.samplesperpixel:
        raise CorruptImageError(path, "the TIFF header contradicts itself", "get an intact copy of the file")


def check_size(path: Path, width: int, height: int, *, max_pixels: int) -> None:
    """Refuse pictures of more pixels than allowed.

    Raises:
        ImageTooLargeError: the header announces more.
    """
    if width * height > max_pixels:
        raise ImageTooLargeError(
            path,
            f"the header announces {width}x{height} pixels, more than the limit of {max_pixels}",
            "cut or shrink it, or raise max_pixels if you trust the file",
        )


def _checked_floats(values: np.ndarray, path: Path) -> np.ndarray:
    """Floats as float32.

    Raises:
        PixelRangeError: a value outside [0, 1], or not finite.
    """
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # false for NaN too
        raise PixelRangeError(
            path, f"float pixels must lie in [0, 1], got [{low:g}, {high:g}]", "rescale them to [0, 1] first"
        )
    return values.astype(np.float32)


def _straight(values: np.ndarray) -> np.ndarray:
    """Colours divided by the alpha they were multiplied with; (H, W, 2 or 4) to the same shape and type."""
    white = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    alpha = values[..., -1:].astype(np.float64) / white
    colours = np.minimum(values[..., :-1] / np.where(alpha > 0, alpha, 1.0), white)
    colours = colours if values.dtype.kind == "f" else np.rint(colours)
    return np.concatenate([colours.astype(values.dtype), values[..., -1:]], axis=2)


def _exif_of_tags(tags: dict[int, Any]) -> bytes | None:
    """The texts that describe a TIFF as an EXIF block; None where there are none."""
    exif = Image.Exif()
    for code in (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298):
        if isinstance(tags.get(code), str):
            exif[code] = tags[code]
    return exif.tobytes() if exif else None
