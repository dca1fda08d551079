"""Pictures from and to files: the file contract.

Reading applies the orientation once and keeps the pixels' depth, alpha, ICC profile, EXIF and XMP. What is no picture,
damaged or too large is refused with a typed error, before it is decoded where the header tells. Writing is atomic.
"""

from collections.abc import Callable
from pathlib import Path

from ldrestore.errors import CorruptImageError, ImageFileError, ImageNotFoundError, UnsupportedFormatError
from ldrestore.images.bmp import decode_bmp
from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.formats import HEAD_BYTES, READ_FORMATS, SUPPORTED_SUFFIXES, format_of, is_image_path
from ldrestore.images.heif import decode_heif
from ldrestore.images.jpeg import decode_jpeg
from ldrestore.images.photo import Photo
from ldrestore.images.photo_making import decoder_errors, make_photo, size_check
from ldrestore.images.png import decode_png
from ldrestore.images.tiff import decode_tiff
from ldrestore.images.webp import decode_webp

__all__ = ["DEFAULT_MAX_PIXELS", "SUPPORTED_SUFFIXES", "is_image_path", "read_photo", "write_photo"]

DEFAULT_MAX_PIXELS = 300_000_000
"""The most pixels that are read unasked."""

_DECODERS: dict[str, Callable[[Path, SizeCheck], Decoded]] = {
    "JPEG": decode_jpeg,
    "PNG": decode_png,
    "TIFF": decode_tiff,
    "WEBP": decode_webp,
    "BMP": decode_bmp,
    "HEIF": decode_heif,
}


def read_photo(path: str | Path, *, max_pixels: int | None = None, clip: bool = False) -> Photo:
    """Read a picture: JPEG, PNG, TIFF, WebP, BMP, and HEIF where pillow-heif is installed.

    The format is told by the content, not by the suffix. Of animated and many-paged files the first frame is read, with
    a warning.

    Args:
        path: The file.
        max_pixels: Pictures whose header announces more are refused; None for `DEFAULT_MAX_PIXELS`. WebP and TIFF of
            a palette or CMYK end at 178,956,970 pixels, whatever is given here: their decoders have that limit.
        clip: Whether float pixels outside [0, 1] are clipped; they are refused otherwise.

    Returns:
        The picture upright, 8-bit as uint8, 16-bit as uint16, float TIFF as float32. Deeper HEIF becomes 8-bit.

    Raises:
        ImageNotFoundError: nothing lies there.
        UnsupportedFormatError: no picture, or one of a format or colour space outside the list.
        CorruptImageError: empty, truncated or damaged.
        ImageTooLargeError: more pixels than allowed.
        PixelRangeError: float pixels outside [0, 1] that are not to be clipped, or not finite.
        MissingExtraError: a HEIF file, and pillow-heif is not installed.
    """
    path = Path(path)
    head = head_of(path)
    file_format = format_of(head)
    if file_format is None:
        raise UnsupportedFormatError(
            path, "is not a picture of a supported format", f"supported are {', '.join(READ_FORMATS)}"
        )
    most = DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels
    with decoder_errors(path):
        decoded = _DECODERS[file_format](path, size_check(path, max_pixels=most))
        return make_photo(decoded, path=path, file_format=file_format, clip=clip)


def write_photo(
    photo: Photo,
    path: str | Path,
    *,
    format: str | None = None,
    quality: int = 95,
    overwrite: bool = False,
    on_written: Callable[[Path], None] | None = None,
) -> None:
    """Write a picture; see `ldrestore.images.encoding.write_picture`.

    Args:
        photo: What to write.
        path: Where; its folder must exist.
        format: "JPEG", "PNG", "TIFF", "WEBP" or "BMP"; None takes the suffix's.
        quality: 1 to 100 for JPEG and WebP; WebP is lossless at 100.
        overwrite: Whether an existing file is replaced.
        on_written: Gets the whole file while it has another name yet.

    Raises:
        InputError: the quality is out of range.
        ImageFileError: the file cannot be written, or exists and `overwrite` is False.
    """
    photo.save(path, format=format, quality=quality, overwrite=overwrite, on_written=on_written)


def head_of(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        ImageNotFoundError: nothing lies there.
        UnsupportedFormatError: a folder, a pipe or a device.
        CorruptImageError: no bytes.
        ImageFileError: the file cannot be opened.
    """
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise UnsupportedFormatError(path, f"is {kind}", "name a picture file")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise ImageNotFoundError(path, "no such file", "check the path") from None
    except ImageFileError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageFileError(path, f"cannot be opened ({reason})", "check the path and its permissions") from error
    if not head:
        raise CorruptImageError(path, "the file is empty", "get an intact copy of the file")
    return head
