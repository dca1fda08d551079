"""Whatever a user passes as a picture, as photos."""

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from ldrestore.errors import InputError, ShapeError
from ldrestore.images.bmp import PILLOWS_INCHES
from ldrestore.images.decoded import Decoded
from ldrestore.images.exif import ORIENTATION_TAG, exif_resolution
from ldrestore.images.files import read_photo
from ldrestore.images.jpeg import jpeg_metadata
from ldrestore.images.metadata import FileBlocks, Metadata
from ldrestore.images.orientation import valid_orientation
from ldrestore.images.photo import Photo
from ldrestore.images.photo_making import LARGEST_WHITE, NOT_FINITE_ADVICE, decoder_errors, make_photo
from ldrestore.images.pillow_pixels import pixels_of
from ldrestore.images.png import PNG_SIGNATURE, XMP_KEYWORD
from ldrestore.images.resolution import Resolution, resolution_of

if TYPE_CHECKING:
    from torch import Tensor

ImageInput = Union[str, Path, Image.Image, np.ndarray, "Tensor", Photo]
"""A path; PIL; numpy (H, W[, C]) of uint8, uint16 or float in [0, 1]; torch (C, H, W) in [0, 1]; a photo."""

_SHADES = {2: 85, 4: 17}  # depth of a PNG to the step between its shades
_SHALLOW_MODES = {"L;2": 2, "L;4": 4}  # as Pillow calls them before it decodes
_DEPTH_PLACE = 24  # in a PNG, in its header
_NOT_MANY = (str, bytes, Path, Mapping, Image.Image, Photo)  # iterable or not, none of these is many pictures


def to_photos(images: ImageInput | Iterable[ImageInput], *, clip: bool = False) -> list[Photo]:
    """One or many pictures as a list: any iterable, or a batch (B, C, H, W) or (B, H, W, C), is many.

    Args:
        images: Generators are read to their end.
        clip: Whether float pixels outside [0, 1] are clipped; they are refused otherwise.

    Raises:
        InputError: as `to_photo`.
        ImageFileError: a path cannot be read.
    """
    if getattr(images, "ndim", None) == 4:
        return [to_photo(image, clip=clip) for image in images]  # type: ignore[union-attr]  # by its ndim
    if isinstance(images, Iterable) and not isinstance(images, _NOT_MANY) and not hasattr(images, "ndim"):
        return [photo for image in images for photo in to_photos(image, clip=clip)]
    return [to_photo(images, clip=clip)]  # type: ignore[arg-type]  # checked in to_photo


def to_photo(image: ImageInput, *, clip: bool = False) -> Photo:
    """One picture as a photo.

    Args:
        image: See `ImageInput`; 1 channel is grey, 2 grey with alpha, 3 RGB, 4 RGBA.
        clip: Whether float pixels outside [0, 1] are clipped; they are refused otherwise.

    Raises:
        ShapeError: an array has another shape.
        InputError: another type, or floats outside [0, 1].
        ImageFileError: a path cannot be read.
    """
    if isinstance(image, Photo):
        return image
    if isinstance(image, (str, Path)):
        return read_photo(image, clip=clip)
    if isinstance(image, Image.Image):
        with decoder_errors(getattr(image, "filename", "") or "the PIL image"):
            return make_photo(_decoded_pil(image), path=None, file_format=image.format, clip=clip)
    if isinstance(image, np.ndarray):
        return _photo_of_array(image, clip=clip)
    if type(image).__module__.startswith("torch") and hasattr(image, "detach"):
        return _photo_of_tensor(image, clip=clip)
    raise InputError(
        f"cannot take {type(image).__name__} as a picture; give a path, a PIL image, a numpy array or a torch tensor"
    )


def _decoded_pil(image: Image.Image) -> Decoded:
    """A Pillow image as decoders give it."""
    pixels, alpha = pixels_of(_with_spread_key(image), "image")
    key = image.info.get("transparency")
    if alpha is None and image.mode.startswith("I;16") and isinstance(key, int):
        alpha = np.where(pixels[..., 0] == key, np.uint16(0), np.uint16(65_535))
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    damages: tuple[str, ...] = ()
    exif, orientation = image.info.get("exif"), None
    try:
        tags = image.getexif()
        if exif is None and set(tags) - {ORIENTATION_TAG}:  # Pillow adds an orientation that only XMP states
            exif = tags.tobytes()
        orientation = valid_orientation(tags.get(ORIENTATION_TAG))  # a user may have set it, which is in no block
    except Exception as error:  # Pillow's EXIF parser raises whatever the damage leads to; the pixels are still good
        exif, damages = None, (str(error) or type(error).__name__,)
    metadata = Metadata(
        icc_profile=None if image.mode == "CMYK" else image.info.get("icc_profile"),
        exif=exif,
        xmp=packet.encode() if isinstance(packet, str) else packet,
        blocks=_blocks_of(image, exif),
    )
    return Decoded(pixels=pixels, alpha=alpha, metadata=metadata, bit_depth=8, orientation=orientation, damages=damages)


def _with_spread_key(image: Image.Image) -> Image.Image:
    """An image whose one transparent shade is spread like its values.

    Pillow leaves that of 2 and 4 bits as it is, and that of 16 bits beside colours which it has cut to 8.
    """
    key = image.info.get("transparency")
    if isinstance(key, tuple) and max(key) > 255:
        cut = image.copy()
        cut.info["transparency"] = tuple(value >> 8 for value in key)
        return cut
    if not isinstance(image, PngImageFile) or not isinstance(key, int) or (depth := _depth_of(image)) not in _SHADES:
        return image
    spread = image.copy()
    spread.info["transparency"] = key * _SHADES[depth]
    return spread


def _depth_of(image: PngImageFile) -> int:
    """Bits of a grey sample as the file has them, which Pillow forgets when it decodes; 8 where nothing tells."""
    if image.tile:
        return _SHALLOW_MODES.get(str(image.tile[0].args), 8)
    try:
        with open(image.filename, "rb") as file:
            head = file.read(_DEPTH_PLACE + 1)
    except (OSError, ValueError):  # opened from memory, or gone
        return 8
    return head[_DEPTH_PLACE] if head.startswith(PNG_SIGNATURE) and len(head) > _DEPTH_PLACE else 8


def _blocks_of(image: Image.Image, exif: bytes | None) -> FileBlocks:
    """What Pillow has kept of the file that the image was opened from, and a resolution that it was told."""
    if isinstance(image, JpegImageFile):
        return jpeg_metadata(image).blocks
    resolution = _density_of(image) or exif_resolution(exif)
    if not isinstance(image, PngImageFile):
        return FileBlocks(resolution=resolution)
    texts = [
        (b"iTXt", key.encode("latin-1", "replace") + b"\0\0\0\0\0" + str(value).encode())
        for key, value in image.text.items()
        if key.encode() != XMP_KEYWORD and not key.startswith("Raw profile type")
    ]
    gamma, points = image.info.get("gamma"), image.info.get("chromaticity")
    colours = [] if gamma is None else [(b"gAMA", struct.pack(">I", round(gamma * 100_000)))]
    if points is not None and len(points) == 8:
        colours.append((b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in points))))
    return FileBlocks(resolution=resolution, texts=tuple(texts), colour_chunks=tuple(colours))


def _density_of(image: Image.Image) -> Resolution | None:
    """The resolution that Pillow has found or was told; None for none."""
    density = image.info.get("dpi")
    if not isinstance(density, tuple) or len(density) != 2:
        return None
    x, y = density
    if isinstance(image, BmpImageFile):
        return resolution_of(round(x * PILLOWS_INCHES), round(y * PILLOWS_INCHES), "metre")
    if isinstance(image, PngImageFile):  # Pillow has divided whole pixels a metre
        return resolution_of(round(x / 0.0254), round(y / 0.0254), "metre")
    return resolution_of(x, y, "inch")


def _photo_of_tensor(tensor: Any, *, clip: bool) -> Photo:
    """A torch tensor (C, H, W) of floats in [0, 1].

    Raises:
        ShapeError: another number of axes or channels.
        InputError: not floating point, or values outside [0, 1].
    """
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 2, 3, 4):
        raise ShapeError(f"expected a tensor of shape (C, H, W) with 1 to 4 channels, got {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise InputError(f"expected a floating point tensor in [0, 1], got {tensor.dtype}; divide by its white first")
    return _photo_of_array(tensor.detach().float().cpu().numpy().transpose(1, 2, 0), clip=clip)


def _photo_of_array(array: np.ndarray, *, clip: bool) -> Photo:
    """A numpy array (H, W) or (H, W, C).

    Raises:
        ShapeError: another number of axes or channels, or no pixels.
        InputError: another type, or values outside [0, 1].
    """
    values = array[..., None] if array.ndim == 2 else array
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4) or 0 in values.shape:
        raise ShapeError(f"expected an array of shape (H, W) or (H, W, 1 to 4), got {array.shape}")
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        is_inside = low >= 0 and high <= LARGEST_WHITE  # false for NaN too
        if not is_inside and not (clip and np.isfinite([low, high]).all()):
            advice = "rescale them, or pass clip=True" if np.isfinite([low, high]).all() else NOT_FINITE_ADVICE
            raise InputError(f"float pixels must lie in [0, 1], got [{low:.9g}, {high:.9g}]; {advice}")
        values = values.astype(np.float32) if is_inside else values.clip(0, 1).astype(np.float32)
    elif values.dtype.newbyteorder("=") in (np.uint8, np.uint16):
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    else:
        raise InputError(f"expected uint8, uint16 or float pixels, got {values.dtype}")
    colours = np.ascontiguousarray(values[..., :-1] if values.shape[2] in (2, 4) else values)
    alpha = np.ascontiguousarray(values[..., -1]) if values.shape[2] in (2, 4) else None
    return Photo(pixels=colours, alpha=alpha)
