"""What the header of a picture tells, without decoding its pixels."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ldrestore.errors import MissingExtraError, UnsupportedFormatError
from ldrestore.images.files import head_of
from ldrestore.images.formats import READ_FORMATS, format_of
from ldrestore.images.metadata import Metadata
from ldrestore.images.orientation import TURNED
from ldrestore.images.photo_making import decoder_errors, understood
from ldrestore.images.png import png_metadata
from ldrestore.images.tiff import full_page, opened, stated_orientation, states_alpha

# Called themselves: `Image.open` takes a camera's JPEG with a preview behind it for an animation.
_PILLOW_CLASSES: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
}
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHeader:
    """What a file announces of its first picture."""

    width: int
    """Pixels a row once it is upright."""
    height: int
    """Its rows."""
    has_alpha: bool
    """Whether it states transparency; False where only decoding tells."""


def read_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels of a picture once it is upright; see `read_header`, also for the errors."""
    header = read_header(path)
    return header.width, header.height


def read_header(path: str | Path) -> PictureHeader:
    """Size and transparency of a picture, as its header announces them, and turned as its EXIF or XMP says.

    Args:
        path: The file; its format is told by the content.

    Raises:
        ImageNotFoundError: nothing lies there.
        UnsupportedFormatError: no picture of a format that is read.
        CorruptImageError: empty, or a header that is damaged or cut off.
        ImageFileError: the file cannot be opened.
        MissingExtraError: a HEIF file, and pillow-heif is not installed.
    """
    path = Path(path)
    file_format = format_of(head_of(path))
    if file_format is None:
        raise UnsupportedFormatError(
            path, "is not a picture of a supported format", f"supported are {', '.join(READ_FORMATS)}"
        )
    with decoder_errors(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata: whoever decodes the picture is told
        if file_format == "HEIF":
            return _heif_header(path)
        if file_format == "TIFF":
            return _tiff_header(path)
        with _PILLOW_CLASSES[file_format](path) as image:
            has_alpha = image.mode in _ALPHA_MODES or "transparency" in image.info
            blocks = Metadata(exif=image.info.get("exif"), xmp=image.info.get("xmp"))
            metadata = png_metadata(path) if file_format == "PNG" else blocks
            return _upright(*image.size, orientation=understood(metadata, path)[1], has_alpha=has_alpha)


def _heif_header(path: Path) -> PictureHeader:
    """Of the first picture; libheif turns it upright."""
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError("pillow-heif", "heif", "to read HEIF files") from None
    container = pillow_heif.open_heif(path)
    width, height = container.size
    return PictureHeader(width=width, height=height, has_alpha=bool(container.has_alpha))


def _tiff_header(path: Path) -> PictureHeader:
    """Of the page that is read."""
    with opened(path) as file:
        page = full_page(file, path)
        width, height = int(page.imagewidth), int(page.imagelength)  # a damaged tag may hold many numbers, or none
        return _upright(width, height, orientation=stated_orientation(page), has_alpha=states_alpha(page))


def _upright(width: int, height: int, *, orientation: int, has_alpha: bool) -> PictureHeader:
    """The header of a picture whose width and height are swapped where the orientation says so."""
    if orientation in TURNED:
        width, height = height, width
    return PictureHeader(width=width, height=height, has_alpha=has_alpha)
