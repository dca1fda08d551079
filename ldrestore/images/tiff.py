"""TIFF, revision 6.0: grey, RGB and deep CMYK through tifffile, everything else through Pillow."""

import dataclasses
import logging
import math
import re
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from ldrestore.errors import CorruptImageError, UnsupportedFormatError
from ldrestore.images.cmyk import deep_cmyk_to_srgb, shallow_cmyk_to_srgb
from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.exif import ORIENTATION_TAG, RESOLUTION_UNITS, UNIT_TAG, X_RESOLUTION_TAG, Y_RESOLUTION_TAG
from ldrestore.images.metadata import CREDENTIALS, FileBlocks, Metadata, TiffTag, turned_blocks
from ldrestore.images.orientation import UPRIGHT_TAG, valid_orientation
from ldrestore.images.photoshop import iptc_of_resources
from ldrestore.images.pillow_pixels import pixels_of
from ldrestore.images.resolution import Resolution, resolution_of
from ldrestore.images.xmp import xmp_orientation

DESCRIPTION_TAG = 0x010E
TEXT_TAGS = (DESCRIPTION_TAG, 0x010D, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298)
"""ImageDescription, DocumentName, Make, Model, PageName, Software, DateTime, Artist, HostComputer, Copyright."""
NUMBER_TAGS = (0x4746, 0x4749)
"""Rating, and RatingPercent, as Windows writes them."""
BYTE_TAGS = (0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)
"""XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject: UTF-16 of Windows."""
CAMERA_TAGS = (0x8769, 0x8825)
"""Where the EXIF and GPS directories lie."""
XMP_TAG, IPTC_TAG, RESOURCES_TAG, PROFILE_TAG = 700, 33723, 34377, 34675
GEO_TAGS = (33550, 33920, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844)
"""Of GeoTIFF 1.1: scale, tie points, transformation and keys; metadata and missing value of GDAL; RPC coefficients."""

_CREDENTIALS_TAG = 0xCD41
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType, TIFF 6.0, page 36
_EXTRA_SAMPLES_TAG, _ASSOCIATED_ALPHA, _STRAIGHT_ALPHA = 338, 1, 2
_WHITE_IS_ZERO, _RGB, _PALETTE, _SEPARATED = 0, 2, 3, 5
_INKS_TAG, _CMYK = 332, 1
_FAX_COMPRESSIONS = (2, 3, 4, 32771)
"""Modified Huffman, T.4 and T.6 of the CCITT, and the first of them by words."""
_PLAIN_TYPES = {("uint8", 8), ("uint16", 16), ("float16", 16), ("float32", 32), ("float64", 64)}
_SILENT = logging.NullHandler()
_CAMERA_DATA = "camera data of EXIF in a big-endian BigTIFF"
_PREVIEW = "a preview before the picture"
_STACK = "the description of a stack of pictures"
_COLOURS = "a TIFF's description of the colours (primaries, white point or transfer function)"
_TRANSFER_TAG, _POINT_TAGS = 301, (318, 319)
_SRGB_POINTS = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""White, red, green and blue, x and y of each; many programs write them into every file."""
_EXTRA_CHANNEL = "channels that are neither colour nor alpha"
_SHAPE = re.compile(r"\{\"shape\":|shape=\(")
_MANY = re.compile(r"(?:images|channels|slices|frames)=(?:[2-9]|\d{2})")


def decode_tiff(path: Path, check_size: SizeCheck) -> Decoded:
    """The first page of a TIFF or BigTIFF that is no preview of another one.

    A sample behind the colours is alpha where the file says so. EXIF holds texts, camera's and GPS data; makers' notes
    are left out. CMYK becomes sRGB, of 16 bits in 16 bits, and loses its profile.

    Raises:
        UnsupportedFormatError: other types or colour spaces.
        CorruptImageError: the header contradicts itself.
        ImageTooLargeError: more pixels than allowed.
    """
    with opened(path) as file:
        page = full_page(file, path)
        _check_page(page, path, check_size)
        metadata, losses, damages = _metadata_of(file, page, path)
        num_frames = len(file.pages) - page.index
        fields: dict[str, Any] = {"num_frames": num_frames, "bit_depth": page.bitspersample, "damages": damages}
        if _is_left_to_pillow(page):
            return _read_with_pillow(path, metadata, page, losses=losses, fields=fields)
        values = _read_fax(path, page) if _is_fax(page) else np.asarray(page.asarray())
        palette = page.colormap
    values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values
    values = values if values.ndim == 3 else values[..., None]  # (H, W, samples)
    colours, alpha, is_multiplied, lost = _colours_and_alpha(values, page)
    if page.photometric == _SEPARATED:
        convert = deep_cmyk_to_srgb if colours.dtype == np.uint16 else shallow_cmyk_to_srgb
        colours = convert(colours, metadata.icc_profile, path)
        metadata = _without_profile(metadata)
    elif page.photometric == _PALETTE:
        colours = _looked_up(colours, palette, path)
    elif page.photometric == _WHITE_IS_ZERO:
        colours = (1.0 if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max) - colours
    return Decoded(
        pixels=colours,
        alpha=alpha,
        metadata=metadata,
        orientation=_orientation_of(page),
        is_multiplied=is_multiplied,
        losses=(*losses, *lost),
        **fields,
    )


def opened(path: Path) -> tifffile.TiffFile:
    """A TIFF whose pages can be looked at; close it."""
    logging.getLogger("tifffile").addHandler(_SILENT)  # or its notes on damaged files go to the terminal
    return tifffile.TiffFile(path)


def full_page(file: tifffile.TiffFile, path: Path) -> Any:
    """The first page that is neither a preview nor a mask of another one; the first of all where every one is.

    Raises:
        UnsupportedFormatError: the picture of a preview lies in a directory below it, as in raw files of cameras.
    """
    pages: Any = file.pages
    page = next((page for page in pages if not page.subfiletype & (_REDUCED | _MASK)), pages[0])
    if page.is_reduced and any(not part.is_reduced for part in page.pages or ()):
        raise UnsupportedFormatError(
            path,
            "its pages are previews, and the picture lies in a directory below them, as in raw files of cameras",
            "develop it with a raw converter, or write the full picture as a page of its own",
        )
    return page


def _colours_and_alpha(values: np.ndarray, page: Any) -> tuple[np.ndarray, np.ndarray | None, bool, tuple[str, ...]]:
    """Colours (H, W, C), alpha (H, W), whether the former are multiplied by the latter, and what is left out."""
    num_colours, kinds = _kinds_of_samples(page)
    index = _alpha_index(kinds)
    alpha = None if index is None else np.ascontiguousarray(values[..., num_colours + index])
    is_multiplied = index is not None and kinds[index] == _ASSOCIATED_ALPHA
    lost = (_EXTRA_CHANNEL,) if len(kinds) > (index is not None) else ()
    return values[..., :num_colours], alpha, is_multiplied, lost


def states_alpha(page: Any) -> bool:
    """Whether a page that tifffile has opened says that one of its samples is alpha."""
    return not _is_left_to_pillow(page) and _alpha_index(_kinds_of_samples(page)[1]) is not None


def stated_orientation(page: Any) -> int:
    """The orientation, 1 to 8, that a page's own tag states, or else its XMP."""
    orientation = _orientation_of(page)
    if orientation is not None:
        return orientation
    packet = page.tags.get(XMP_TAG)
    return valid_orientation(xmp_orientation(None if packet is None else _bytes_of(packet.value)))


def _kinds_of_samples(page: Any) -> tuple[int, list[int]]:
    """How many samples of a pixel are colours, and what the page says of each other one; 0 for nothing."""
    num_colours = {_RGB: 3, _SEPARATED: 4}.get(int(page.photometric), 1)
    tag = page.tags.get(_EXTRA_SAMPLES_TAG)
    kinds = [] if tag is None else [int(kind) for kind in np.atleast_1d(tag.value)]
    extras = max(0, page.samplesperpixel - num_colours)
    return num_colours, (kinds + [0] * extras)[:extras]


def _alpha_index(kinds: list[int]) -> int | None:
    """The first of the samples beside the colours that is alpha."""
    return next((i for i, kind in enumerate(kinds) if kind in (_ASSOCIATED_ALPHA, _STRAIGHT_ALPHA)), None)


def _is_fax(page: Any) -> bool:
    """Whether a page is of two levels, white and black, in one of the codes of faxes."""
    is_grey = page.photometric < _RGB and page.samplesperpixel == 1
    return int(page.compression) in _FAX_COMPRESSIONS and is_grey and page.bitspersample == 1


def _is_left_to_pillow(page: Any) -> bool:
    """Whether a page is of a palette, YCbCr or 8-bit CMYK without further samples, or of less than 8 bits.

    Faxes are not left to it: of rows that their codes do not tell it gives whatever lay in memory.
    """
    if _is_unknown_to_pillow(page):
        return False
    is_deep_or_wide = page.bitspersample == 16 or (page.bitspersample == 8 and page.samplesperpixel > 4)
    is_own_cmyk = page.photometric == _SEPARATED and is_deep_or_wide
    return (page.photometric > _RGB and not is_own_cmyk) or (page.bitspersample < 8 and not _is_fax(page))


def _is_unknown_to_pillow(page: Any) -> bool:
    """Whether a page lies in a big-endian BigTIFF, which Pillow takes for a TIFF."""
    return bool(page.parent.is_bigtiff and page.parent.byteorder == ">")


def _looked_up(indices: np.ndarray, palette: Any, path: Path) -> np.ndarray:
    """The colours (H, W, 3) uint8 of a palette, whose 16 bits are cut to 8 as Pillow does; indices (H, W, 1).

    Raises:
        CorruptImageError: there is no palette, or it is too short.
    """
    if np.shape(palette) != (3, 1 + np.iinfo(indices.dtype).max):
        raise CorruptImageError(path, "the palette is damaged or missing", "get an intact copy of the file")
    colours: np.ndarray = (palette >> 8).astype(np.uint8).T[indices[..., 0]]
    return colours


def _check_page(page: Any, path: Path, check_size: SizeCheck) -> None:
    """Refuse what cannot be held, before anything is decoded.

    Raises:
        ImageTooLargeError: more pixels than allowed.
        UnsupportedFormatError: other types or colour spaces.
        CorruptImageError: the header contradicts itself.
    """
    width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel
    check_size(width, height)
    if page.is_tiled:
        check_size(page.tilewidth, page.tilelength)
    # Pillow and tifffile leave black what no strip or tile fills.
    if len(page.dataoffsets) != math.prod(page.chunked) or not all(page.dataoffsets) or not all(page.databytecounts):
        raise CorruptImageError(path, "part of the pixels is missing", "get an intact copy of the file")
    if _is_left_to_pillow(page) or _is_fax(page):
        return
    kind = (page.dtype.name if page.dtype is not None else "unknown", page.bitspersample)
    if kind not in _PLAIN_TYPES:
        raise UnsupportedFormatError(
            path, f"TIFF samples of {kind[1]} bits ({kind[0]}) are not supported", "store 8 or 16 bits, or float"
        )
    if page.photometric > _RGB and page.photometric not in (_PALETTE, _SEPARATED):
        raise UnsupportedFormatError(
            path,
            f"TIFF pages of colour space {page.photometric!s} are not supported in a big-endian BigTIFF",
            "write it little-endian, or convert it to grey or RGB first",
        )
    needed, most = {_RGB: (3, 4), _PALETTE: (1, 1), _SEPARATED: (4, 5)}.get(int(page.photometric), (1, 4))
    inks = page.tags.get(_INKS_TAG)
    is_other_ink = page.photometric == _SEPARATED and (
        page.dtype.kind != "u" or (inks is not None and inks.value != _CMYK)
    )
    if page.axes not in ("YX", "YXS", "SYX") or not needed <= samples <= most or is_other_ink:
        raise UnsupportedFormatError(
            path, f"TIFF pages of axes {page.axes} and {samples} samples are not supported", "make it grey or RGB first"
        )
    if math.prod(page.shape) != width * height * samples:
        raise CorruptImageError(path, "the TIFF header contradicts itself", "get an intact copy of the file")


def _read_with_pillow(
    path: Path, metadata: Metadata, page: Any, *, losses: tuple[str, ...], fields: dict[str, Any]
) -> Decoded:
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
        image.seek(page.index)
        stated = image.getexif().get(ORIENTATION_TAG)
        pixels, alpha = pixels_of(image, path)  # Pillow turns TIFFs, and no other format, upright by itself
        orientation = None if stated is None else UPRIGHT_TAG  # it does not see every orientation that XMP states
        blocks, turning_losses = turned_blocks(metadata.blocks, valid_orientation(stated))
        metadata, losses = dataclasses.replace(metadata, blocks=blocks), (*losses, *turning_losses)
        metadata = _without_profile(metadata) if image.mode == "CMYK" else metadata
    return Decoded(pixels=pixels, alpha=alpha, metadata=metadata, orientation=orientation, losses=losses, **fields)


def _read_fax(path: Path, page: Any) -> np.ndarray:
    """The two levels of a fax, (H, W) uint8, 0 or 255, as its codes tell them.

    Raises:
        CorruptImageError: part of the codes is damaged or missing.
    """
    damage = CorruptImageError(path, "part of the pixels is damaged or missing", "get an intact copy of the file")
    try:
        levels = imagecodecs.tiff_decode(path.read_bytes(), index=page.index)
    except (imagecodecs.TiffError, ValueError, IndexError) as error:
        raise damage from error
    if levels.shape != (page.imagelength, page.imagewidth) or levels.dtype != bool:
        raise damage
    return levels.astype(np.uint8) * np.uint8(255)


def _without_profile(metadata: Metadata) -> Metadata:
    """The same without a profile, which no longer fits the values."""
    return Metadata(exif=metadata.exif, xmp=metadata.xmp, blocks=metadata.blocks)


def _orientation_of(page: Any) -> int | None:
    """The orientation that the page states; None where only XMP may state one."""
    tag = page.tags.get(ORIENTATION_TAG)
    return None if tag is None else valid_orientation(_number(tag.value))


def _number(value: Any) -> int | None:
    """A tag's value as a number; None where it is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _metadata_of(file: Any, page: Any, path: Path) -> tuple[Metadata, tuple[str, ...], tuple[str, ...]]:
    """All blocks of the page, what of them is left out, and what is wrong with damaged ones."""
    losses: tuple[str, ...] = (CREDENTIALS,) if _CREDENTIALS_TAG in page.tags else ()
    losses += (_PREVIEW,) if page.index else ()
    damages: list[str] = []
    exif: bytes | None = None
    blocks: dict[int, bytes | None] = {}
    try:
        is_unknown = _is_unknown_to_pillow(page)
        blocks, kept = _blocks_without_pillow(page) if is_unknown else _read_blocks(path, page.offset)
        losses += (_CAMERA_DATA,) if is_unknown and any(tag in page.tags for tag in CAMERA_TAGS) else ()
        if _SHAPE.match(str(kept.get(DESCRIPTION_TAG))) and not _SHAPE.match(page.description):
            kept[DESCRIPTION_TAG] = as_stored(page.description.encode().decode("latin-1"))  # tifffile adds a second one
        if DESCRIPTION_TAG in kept and (is_promise := _describes_a_stack(file, page)) is not None:
            del kept[DESCRIPTION_TAG]
            losses += (_STACK,) if is_promise else ()
        is_orientation_all = set(kept) <= {ORIENTATION_TAG}  # a tag that most TIFFs have; no EXIF block is made of it
        exif = None if is_orientation_all else kept.tobytes()
    except Exception as error:  # Pillow's parser raises whatever the damage leads to; the pixels may still be good
        damages.append(str(error) or type(error).__name__)
    try:
        resolution, iptc, geo_tags = _resolution_of(page), _iptc_of(page), _geo_tags_of(page)
        losses += (_COLOURS,) if not blocks.get(PROFILE_TAG) and _has_other_colours(page) else ()
    except Exception as error:  # so does tifffile's
        damages.append(str(error) or type(error).__name__)
        resolution, iptc, geo_tags = None, None, ()
    metadata = Metadata(
        icc_profile=blocks.get(PROFILE_TAG),
        exif=exif,
        xmp=blocks.get(XMP_TAG),
        blocks=FileBlocks(
            resolution=resolution,
            iptc=iptc,
            geo_tags=geo_tags,
            geo_size=(page.imagewidth, page.imagelength) if geo_tags else None,
        ),
    )
    return metadata, losses, tuple(damages)


class _StoredText(str):
    """Text that Pillow has read as Latin-1, and writes as the bytes that it was, which may be UTF-8."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The bytes; Pillow would ask for ASCII, and put question marks."""
        return super().encode("latin-1", "replace")


def as_stored(value: Any) -> Any:
    """A value of a directory that Pillow has read, so that it writes the same again."""
    return _StoredText(value) if isinstance(value, str) else value


def _read_blocks(path: Path, place: int) -> tuple[dict[int, bytes | None], Image.Exif]:
    """Profile and XMP by tag, and texts and the camera's data as one EXIF block, of the page that lies at a place."""
    with path.open("rb") as file:
        head = file.read(16)
        exif, kept = Image.Exif(), Image.Exif()
        exif.bigtiff, exif.endian = b"+" in head[2:4], "<" if head[:2] == b"II" else ">"
        exif.load_from_fp(file, place)
        tags = (*TEXT_TAGS, *NUMBER_TAGS, *BYTE_TAGS, ORIENTATION_TAG)
        kept.update({tag: as_stored(exif[tag]) for tag in tags if tag in exif})
        for tag in CAMERA_TAGS:
            if camera := exif.get_ifd(tag):
                kept[tag] = {key: as_stored(value) for key, value in camera.items()}
        return {tag: _bytes_of(exif.get(tag)) for tag in (PROFILE_TAG, XMP_TAG)}, kept


def _blocks_without_pillow(page: Any) -> tuple[dict[int, bytes | None], Image.Exif]:
    """The same of a big-endian BigTIFF, which Pillow reads as a TIFF, by tifffile; without the camera's data."""
    kept = Image.Exif()
    texts = {tag: page.tags[tag].value for tag in TEXT_TAGS if tag in page.tags}
    kept.update(
        {tag: as_stored(text.encode().decode("latin-1")) for tag, text in texts.items() if isinstance(text, str)}
    )
    found = {tag: page.tags.get(tag) for tag in (PROFILE_TAG, XMP_TAG)}
    return {tag: entry and _bytes_of(entry.value) for tag, entry in found.items()}, kept


def _bytes_of(value: Any) -> bytes | None:
    """A tag's value where it is bytes."""
    return value if isinstance(value, bytes) else None


def _iptc_of(page: Any) -> bytes | None:
    """Records of IPTC, by themselves or among Photoshop's resources; tifffile gives bytes, stored as such or not."""
    records, resources = (page.tags.get(tag) for tag in (IPTC_TAG, RESOURCES_TAG))
    found = None if records is None else _bytes_of(records.value)
    return found or (None if resources is None else iptc_of_resources(_bytes_of(resources.value)))


def _describes_a_stack(file: Any, page: Any) -> bool | None:
    """Whether the description is a program's, of the arrays of a file, and promises more than the first page.

    Returns:
        None for any other description, and for ImageJ's of a single picture, which stays true.
    """
    text = page.description
    if page.is_ome:
        return True
    if text.startswith("ImageJ="):
        return True if len(file.pages) > 1 or _MANY.search(text) else None
    if _SHAPE.match(text):
        return len(file.pages) > 1
    return None


def _resolution_of(page: Any) -> Resolution | None:
    """What the page states."""
    x, y, unit = (page.tags.get(tag) for tag in (X_RESOLUTION_TAG, Y_RESOLUTION_TAG, UNIT_TAG))
    if x is None or y is None:
        return None
    code = 2 if unit is None else int(unit.value)
    return resolution_of(x.value, y.value, RESOLUTION_UNITS.get(code, "none"))


def _geo_tags_of(page: Any) -> tuple[TiffTag, ...]:
    """Tags that tell where on Earth the pixels lie, as tifffile writes them."""
    tags = (page.tags.get(code) for code in GEO_TAGS)
    return tuple((tag.code, int(tag.dtype), tag.count, tag.value) for tag in tags if tag is not None)


def _has_other_colours(page: Any) -> bool:
    """Whether a page describes by numbers colours that values without any description do not have."""
    if _TRANSFER_TAG in page.tags:
        return True
    stored: list[float] = []
    try:
        for tag in _POINT_TAGS:
            pairs = np.reshape(page.tags[tag].value if tag in page.tags else (), (-1, 2))
            stored += [float(number) / float(divisor) for number, divisor in pairs]
    except (ArithmeticError, TypeError, ValueError):
        return True
    usual = _SRGB_POINTS[:2] if len(stored) == 2 else _SRGB_POINTS[-len(stored) :]
    return bool(stored) and (len(stored) != len(usual) or not np.allclose(stored, usual, atol=0.001))
