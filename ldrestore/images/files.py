"""Pictures from and to files: the file contract.

Reading applies the orientation once and keeps the pixels' depth, alpha, ICC profile, EXIF and XMP. What is no picture,
damaged or too large is refused with a typed error, before it is decoded where the header tells. Writing is atomic.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ldrestore.errors import (
    CorruptImageError,
    ImageFileError,
    ImageNotFoundError,
    ImageTooLargeError,
    MissingExtraError,
    UnsupportedFormatError,
)
from ldrestore.images.decoding import (
    check_size,
    photo_of_deep_png,
    photo_of_deep_tiff,
    photo_of_pil,
    warn_of_more_frames,
)
from ldrestore.images.encoding import write_photo
from ldrestore.images.formats import (
    READ_FORMATS,
    SUPPORTED_SUFFIXES,
    is_deep_png,
    is_heif,
    is_image_path,
    is_tiff,
)
from ldrestore.images.photo import Photo

__all__ = ["DEFAULT_MAX_PIXELS", "SUPPORTED_SUFFIXES", "is_image_path", "read_photo", "write_photo"]

DEFAULT_MAX_PIXELS = 178_956_970
"""The most pixels that are read unasked; Pillow opens no larger picture."""


def read_photo(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """Read a picture: JPEG, PNG, TIFF, WebP, BMP, and HEIF where pillow-heif is installed.

    The format is told by the content, not by the suffix. Of animated and many-paged files the first frame is read, with
    a warning.

    Args:
        path: The file.
        max_pixels: Pictures whose header announces more are refused; at most `DEFAULT_MAX_PIXELS` has an effect for
            formats that Pillow reads.

    Returns:
        The picture upright, 8-bit as uint8, 16-bit as uint16, float TIFF as float32.

    Raises:
        ImageNotFoundError: nothing lies there.
        UnsupportedFormatError: no picture, or one of a format or colour space outside the list.
        CorruptImageError: empty, truncated or damaged.
        ImageTooLargeError: more pixels than allowed.
        PixelRangeError: float pixels outside [0, 1].
        MissingExtraError: a HEIF file, and pillow-heif is not installed.
    """
    path = Path(path)
    head = _head_of(path)
    with _decoder_errors(path):
        if is_heif(head):
            return _read_heif(path, max_pixels=max_pixels)
        if is_deep_png(head):
            check_size(
                path, int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"), max_pixels=max_pixels
            )
            return photo_of_deep_png(path.read_bytes(), path=path)
        if is_tiff(head) and _is_deep_tiff(path, max_pixels=max_pixels):
            return photo_of_deep_tiff(path, max_pixels=max_pixels)
        with Image.open(path, formats=READ_FORMATS) as image:
            check_size(path, *image.size, max_pixels=max_pixels)
            num_frames = getattr(image, "n_frames", 1)
            if num_frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview behind it is no animation
                warn_of_more_frames(path, num_frames)
            return photo_of_pil(image, path=path)


def _head_of(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        ImageNotFoundError: nothing lies there.
        UnsupportedFormatError: a folder.
        CorruptImageError: no bytes.
        ImageFileError: the file cannot be opened.
    """
    if path.is_dir():
        raise UnsupportedFormatError(path, "is a folder", "name a picture file")
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except FileNotFoundError:
        raise ImageNotFoundError(path, "no such file", "check the path") from None
    except OSError as error:
        raise ImageFileError(path, f"cannot be opened ({error.strerror})", "check its permissions") from error
    if not head:
        raise CorruptImageError(path, "the file is empty", "get an intact copy of the file")
    return head


@contextmanager
def _decoder_errors(path: Path) -> Iterator[None]:
    """Turn what decoders raise into typed errors, and keep them from warning about pictures that are allowed."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", module=r"PIL\..*")
            yield
    except (ImageFileError, MissingExtraError):
        raise
    except UnidentifiedImageError as error:
        raise UnsupportedFormatError(
            path, "is not a picture of a supported format", f"supported are {', '.join(READ_FORMATS)} and HEIF"
        ) from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise ImageTooLargeError(
            path, f"the picture is too large ({error})", "cut or shrink it with another program first"
        ) from error
    except Exception as error:  # damaged files make decoders raise anything: struct.error, KeyError, SyntaxError, ...
        raise CorruptImageError(
            path, f"the file is damaged or cut off ({error or type(error).__name__})", "get an intact copy of the file"
        ) from error


def _is_deep_tiff(path: Path, *, max_pixels: int) -> bool:
    """Whether a TIFF holds more than 8 bits a channel, or a kind of picture that Pillow does not know."""
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            check_size(path, *image.size, max_pixels=max_pixels)
            bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]  # TiffImageFile has it
            return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    except UnidentifiedImageError:
        return True


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
    if len(container) > 1:
        warn_of_more_frames(path, len(container))
    image = container.to_pillow()  # libheif has turned it upright
    image.format = "HEIF"
    return photo_of_pil(image, path=path)
