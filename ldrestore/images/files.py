"""Pictures from and to files: the file contract.

Reading applies the orientation once and keeps the pixels' depth, alpha, ICC profile, EXIF and XMP. What is no picture,
damaged or too large is refused with a typed error, before it is decoded where the header tells. Writing is atomic.
"""

from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ldrestore.errors import (
    CorruptImageError,
    ImageFileError,
    ImageNotFoundError,
    MissingExtraError,
    UnsupportedFormatError,
)
from ldrestore.images.decoding import check_size, decoder_errors, photo_of_pil, warn_of_more_frames
from ldrestore.images.encoding import write_photo
from ldrestore.images.formats import (
    HEAD_BYTES,
    READ_FORMATS,
    SUPPORTED_SUFFIXES,
    format_of,
    is_deep_png,
    is_image_path,
)
from ldrestore.images.photo import Photo
from ldrestore.images.png import read_deep_png
from ldrestore.images.tiff import read_tiff

__all__ = ["DEFAULT_MAX_PIXELS", "SUPPORTED_SUFFIXES", "is_image_path", "read_photo", "write_photo"]

DEFAULT_MAX_PIXELS = 300_000_000
"""The most pixels that are read unasked."""

PILLOW_CLASSES: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
}
"""Formats that Pillow reads.

The classes are called themselves: `Image.open` warns of pictures above its own, process-wide limit, and takes a
camera's JPEG with a preview behind it for an animation."""


def read_photo(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS, clip: bool = False) -> Photo:
    """Read a picture: JPEG, PNG, TIFF, WebP, BMP, and HEIF where pillow-heif is installed.

    The format is told by the content, not by the suffix. Of animated and many-paged files the first frame is read, with
    a warning.

    Args:
        path: The file.
        max_pixels: Pictures whose header announces more are refused. WebP and TIFF of a palette or CMYK end at
            178,956,970 pixels, whatever is given here: their decoders have that limit.
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
    with decoder_errors(path):
        if file_format == "HEIF":
            return _read_heif(path, max_pixels=max_pixels)
        if file_format == "TIFF":
            return read_tiff(path, max_pixels=max_pixels, clip=clip)
        if file_format == "PNG" and is_deep_png(head):
            return read_deep_png(path, max_pixels=max_pixels)
        with PILLOW_CLASSES[file_format](path) as image:
            check_size(path, *image.size, max_pixels=max_pixels)
            warn_of_more_frames(path, getattr(image, "n_frames", 1))
            return photo_of_pil(image, path=path)


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


def _read_heif(path: Path, *, max_pixels: int) -> Photo:
    """A HEIF picture, its first one, 8 bits a channel.

    Raises:
        MissingExtraError: pillow-heif is not installed.
    """
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError("pillow-heif", "heif", "to read HEIF files") from None
    container = pillow_heif.open_heif(path, convert_hdr_to_8bit=True)
    check_size(path, *container.size, max_pixels=max_pixels)
    warn_of_more_frames(path, len(container))
    image = container.to_pillow()  # libheif has turned it upright
    image.format = "HEIF"
    return photo_of_pil(image, path=path)
