"""Decoders of what Pillow opens, and what all decoders share: limits, warnings and the sorting of their errors."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from ldrestore.errors import (
    CorruptImageError,
    ImageFileError,
    ImageTooLargeError,
    MissingExtraError,
    UnsupportedFormatError,
)
from ldrestore.images.metadata import (
    ORIENTATION_TAG,
    Metadata,
    as_stored,
    metadata_of_blocks,
    upright,
    valid_orientation,
)
from ldrestore.images.photo import Photo

BAND_PIXELS = 2**20
"""So many pixels are converted at a time: no second copy of the whole picture is needed."""

Conversion = Callable[[Image.Image], Image.Image]


@contextmanager
def decoder_errors(path: str | Path) -> Iterator[None]:
    """Turn whatever decoders raise into typed errors, and keep Pillow from warning about what is allowed or left out.

    Raises:
        CorruptImageError: a decoder failed.
        ImageTooLargeError: a decoder refused the size, or memory ran out.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\..*")
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `check_size` has its own limit
            yield
    except (ImageFileError, MissingExtraError, Warning):  # a warning is raised where the user asked for that
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise ImageTooLargeError(
            path, f"the picture is too large ({error})", "cut or shrink it with another program first"
        ) from error
    except Exception as error:  # damaged files make decoders raise anything: struct.error, KeyError, SyntaxError, ...
        raise CorruptImageError(
            path, f"the file is damaged or cut off ({error or type(error).__name__})", "get an intact copy of the file"
        ) from error


def check_size(path: Path, width: int, height: int, *, max_pixels: int) -> None:
    """Refuse pictures of no or of more pixels than allowed.

    Raises:
        CorruptImageError: the header announces none.
        ImageTooLargeError: the header announces more.
    """
    if width < 1 or height < 1:
        raise CorruptImageError(path, f"the header announces {width}x{height} pixels", "get an intact copy of the file")
    if width * height > max_pixels:
        raise ImageTooLargeError(
            path,
            f"the header announces {width}x{height} pixels, more than the limit of {max_pixels}",
            "cut or shrink it, or raise max_pixels if you trust the file",
        )


def warn_of_more_frames(path: Path, num_frames: int) -> None:
    """Say that only the first frame of an animated or many-paged file is used, where there are more."""
    if num_frames > 1:
        warnings.warn(f"{path}: has {num_frames} frames; only the first is used", UserWarning, stacklevel=2)


def warn_of_damaged_metadata(path: object, error: Exception) -> None:
    """Say that metadata are left out, since they cannot be understood; the pixels are still good."""
    warnings.warn(f"{path}: damaged metadata are left out ({error})", UserWarning, stacklevel=2)


def photo_of_pil(image: Image.Image, *, path: Path | None, metadata: Metadata | None = None) -> Photo:
    """A Pillow image of any mode, orientation applied.

    Palettes become RGB, transparency becomes alpha, CMYK becomes sRGB and loses its profile, 1-bit becomes grey.

    Args:
        image: Opened; decoded here.
        path: The file it came from, for messages.
        metadata: The file's; None takes what Pillow found.

    Raises:
        UnsupportedFormatError: a mode such as LAB that has no place here.
    """
    image.load()
    metadata = metadata or _metadata_of(image, path)
    icc_profile = None if image.mode == "CMYK" else metadata.icc_profile
    pixels, alpha = _arrays_of(image, _conversion_of(image, path), metadata.orientation)
    return Photo(
        pixels=pixels,
        alpha=alpha,
        icc_profile=icc_profile,
        exif=metadata.exif,
        xmp=metadata.xmp,
        format=image.format,
        path=path,
    )


def photo_of_values(values: np.ndarray, metadata: Metadata, **fields: Any) -> Photo:
    """A photo of stored values (H, W, 1 to 4), whose second or fourth channel is alpha; orientation applied."""
    values = upright(values, metadata.orientation)
    has_alpha = values.shape[2] in (2, 4)
    return Photo(
        pixels=np.ascontiguousarray(values[..., :-1] if has_alpha else values),
        alpha=np.ascontiguousarray(values[..., -1]) if has_alpha else None,
        icc_profile=metadata.icc_profile,
        exif=metadata.exif,
        xmp=metadata.xmp,
        **fields,
    )


def _metadata_of(image: Image.Image, path: Path | None) -> Metadata:
    """Metadata of a Pillow image; a damaged EXIF block is left out with a warning."""
    profile, packet = image.info.get("icc_profile"), image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    packet = packet.encode() if isinstance(packet, str) else packet
    try:
        exif = image.getexif()
        block = image.info.get("exif")
        if block is None and set(exif) - {ORIENTATION_TAG}:  # Pillow adds an orientation that only XMP states
            block = exif.tobytes()
        metadata = metadata_of_blocks(icc_profile=profile, exif=block, xmp=packet)
    except Exception as error:  # Pillow's EXIF parser raises whatever the damage leads to; the pixels are still good
        warn_of_damaged_metadata(path or "image", error)
        return metadata_of_blocks(icc_profile=profile, exif=None, xmp=packet)
    # A user may have set the orientation of an image in memory, which is in no block.
    orientation = valid_orientation(exif.get(ORIENTATION_TAG))
    return Metadata(orientation=orientation, icc_profile=metadata.icc_profile, exif=metadata.exif, xmp=metadata.xmp)


def _arrays_of(image: Image.Image, convert: Conversion, orientation: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Upright pixels (H, W, 1 or 3) and alpha (H, W) of a decoded image, converted band by band."""
    width, height = image.size
    num_rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, num_rows):
        bottom = min(top + num_rows, height)
        band = np.asarray(convert(image.crop((0, top, width, bottom))))
        band = band if band.ndim == 3 else band[..., None]  # (h, W, 1 to 4)
        if top == 0:
            shape = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
            has_alpha, dtype = band.shape[2] in (2, 4), band.dtype.newbyteorder("=")
            pixels = np.empty((*shape, band.shape[2] - has_alpha), dtype)
            alpha = np.empty(shape, dtype) if has_alpha else None
        as_stored(pixels, orientation)[top:bottom] = band[..., : pixels.shape[2]]
        if alpha is not None:
            as_stored(alpha, orientation)[top:bottom] = band[..., -1]
    return pixels, alpha


def _conversion_of(image: Image.Image, path: Path | None) -> Conversion:
    """How bands of an image become mode L, LA, RGB, RGBA or I;16.

    Raises:
        UnsupportedFormatError: the mode has no such counterpart.
    """
    mode, is_transparent = image.mode, "transparency" in image.info
    if mode == "CMYK":
        return _cmyk_to_srgb(image, path)
    if (mode in ("L", "LA", "RGB", "RGBA") and not is_transparent) or mode.startswith("I;16"):
        return lambda band: band
    targets = {"1": "L", "L": "L", "La": "LA", "LA": "LA", "PA": "RGBA", "RGBa": "RGBA", "RGBA": "RGBA"}
    targets |= dict.fromkeys(("P", "RGB", "RGBX", "YCbCr"), "RGB")
    if mode not in targets:
        raise UnsupportedFormatError(
            path or "image", f"pictures of mode {mode} are not supported", "convert it to RGB or grey first"
        )
    target = targets[mode]
    if is_transparent and not target.endswith("A"):
        target += "A"
    return lambda band: band.convert(target)


def _cmyk_to_srgb(image: Image.Image, path: Path | None) -> Conversion:
    """CMYK to sRGB, by its profile where it has a good one."""
    profile = image.info.get("icc_profile")
    if not profile:
        return lambda band: band.convert("RGB")
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, "CMYK", "RGB")
    except (OSError, ImageCms.PyCMSError) as error:
        warnings.warn(
            f"{path or 'image'}: the CMYK profile cannot be used, colours are approximate ({error})", stacklevel=2
        )
        return lambda band: band.convert("RGB")
    return lambda band: transform.apply(band)
