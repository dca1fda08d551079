"""The one place where a decoded picture becomes a photo: limits, errors, warnings, turning, ranges."""

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from ldrestore.errors import (
    CorruptImageError,
    ImageFileError,
    ImageTooLargeError,
    MetadataLossWarning,
    MissingExtraError,
    PixelRangeError,
)
from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.metadata import Metadata, turned_blocks, upright_metadata
from ldrestore.images.orientation import upright
from ldrestore.images.photo import Photo

LARGEST_WHITE = 1 + 2**-24
"""The largest float of 64 bits that is 1 in the 32 bits of a photo."""
NOT_FINITE_ADVICE = "replace what is infinite or not a number, with another program or numpy.nan_to_num"
"""What helps where clipping does not."""


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
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `size_check` has its own limit
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


def size_check(path: Path, *, max_pixels: int) -> SizeCheck:
    """A check that refuses pictures of no or of more pixels than allowed."""

    def check(width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise CorruptImageError(
                path, f"the header announces {width}x{height} pixels", "get an intact copy of the file"
            )
        if width * height > max_pixels:
            raise ImageTooLargeError(
                path,
                f"the header announces {width}x{height} pixels, more than the limit of {max_pixels}",
                "cut or shrink it, or raise the limit if you trust the file (--max-pixels; max_pixels in Python)",
            )

    return check


def make_photo(decoded: Decoded, *, path: Path | None, file_format: str | None, clip: bool) -> Photo:
    """An upright photo of what a decoder gave; what is left out is warned of.

    Args:
        decoded: Of any decoder.
        path: Its file; None for a picture in memory.
        file_format: Pillow's name of the format.
        clip: Whether float pixels outside [0, 1] are clipped; they are refused otherwise.

    Raises:
        PixelRangeError: floats outside [0, 1] that are not to be clipped, or not finite.
    """
    name = path or "image"
    if decoded.num_frames > 1:
        warnings.warn(f"{name}: has {decoded.num_frames} frames; only the first is used", UserWarning, stacklevel=3)
    metadata, stated, promises = understood(decoded.metadata, name)
    orientation = stated if decoded.orientation is None else decoded.orientation
    blocks, turning_losses = turned_blocks(metadata.blocks, orientation)
    for damage in decoded.damages:
        _warn_of_damage(name, damage)
    for loss in dict.fromkeys((*decoded.losses, *promises, *turning_losses)):
        warnings.warn(f"{loss}: left out of the result", MetadataLossWarning, stacklevel=3)
    pixels, alpha = decoded.pixels, decoded.alpha
    if pixels.dtype.kind == "f":
        pixels = _checked_floats(pixels, name, clip=clip)
        alpha = None if alpha is None else _checked_floats(alpha, name, clip=clip)
    if decoded.is_multiplied and alpha is not None:
        pixels = _straight(pixels, alpha)
    return Photo(
        pixels=np.ascontiguousarray(upright(pixels, orientation)),
        alpha=None if alpha is None else np.ascontiguousarray(upright(alpha, orientation)),
        icc_profile=metadata.icc_profile,
        exif=metadata.exif,
        xmp=metadata.xmp,
        blocks=blocks,
        format=file_format,
        path=path,
    )


def understood(metadata: Metadata, name: object) -> tuple[Metadata, int, tuple[str, ...]]:
    """See `upright_metadata`; a damaged EXIF block is left out with a warning."""
    try:
        return upright_metadata(metadata)
    except ValueError as error:
        _warn_of_damage(name, error)
        return upright_metadata(dataclasses.replace(metadata, exif=None))


def _warn_of_damage(name: object, reason: object) -> None:
    """Say that metadata are left out, since they cannot be understood; the pixels are still good."""
    warnings.warn(f"{name}: damaged metadata are left out ({reason})", UserWarning, stacklevel=4)


def _checked_floats(values: np.ndarray, name: object, *, clip: bool) -> np.ndarray:
    """Floats as float32.

    Raises:
        PixelRangeError: a value outside [0, 1] that is not to be clipped, or not finite.
    """
    low, high = float(values.min()), float(values.max())
    is_inside, is_finite = low >= 0 and high <= LARGEST_WHITE, bool(np.isfinite([low, high]).all())  # NaN is neither
    if not is_inside and not (clip and is_finite):
        advice = "rescale them, or clip them: --clip of restore, degrade, explain and guide, clip=True in Python"
        raise PixelRangeError(
            str(name),
            f"float pixels must lie in [0, 1], got [{low:.9g}, {high:.9g}]",
            advice if is_finite else NOT_FINITE_ADVICE,
        )
    return (values if is_inside else values.clip(0, 1)).astype(np.float32, copy=False)


def _straight(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours (H, W, C) divided by the alpha (H, W) they were multiplied with, in the same type."""
    white = 1.0 if colours.dtype.kind == "f" else float(np.iinfo(colours.dtype).max)
    straight = np.empty_like(colours)
    for row, source, line in zip(straight, colours, alpha, strict=True):  # float64 of the whole picture is too much
        share = line[:, None] / white
        values = np.minimum(source / np.where(share > 0, share, 1.0), white)
        row[...] = values if colours.dtype.kind == "f" else np.rint(values)
    return straight
