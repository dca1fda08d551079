"""HEIF, through pillow-heif, which is optional."""

from pathlib import Path
from typing import Any

from ldrestore.errors import MissingExtraError
from ldrestore.images.decoded import Decoded, SizeCheck
from ldrestore.images.exif import exif_resolution
from ldrestore.images.metadata import FileBlocks, Metadata
from ldrestore.images.orientation import TURNED, UPRIGHT_TAG
from ldrestore.images.pillow_pixels import pixels_of
from ldrestore.images.resolution import Resolution
from ldrestore.images.xmp import GAIN_MAP

_DEPTH_MAP = "a depth map"
_SAME_AS_SRGB = ({1, 2}, {1, 2, 6, 13})  # primaries and transfer of ITU-T H.273 that need no saying


def decode_heif(path: Path, check_size: SizeCheck) -> Decoded:
    """A HEIF picture, its first one, 8 bits a channel.

    Raises:
        MissingExtraError: pillow-heif is not installed.
        ImageTooLargeError: more pixels than allowed.
    """
    try:
        import pillow_heif
    except ImportError:
        raise MissingExtraError("pillow-heif", "heif", "to read HEIF files") from None
    container = pillow_heif.open_heif(path, convert_hdr_to_8bit=True)
    check_size(*container.size)
    image = container.to_pillow()
    pixels, alpha = pixels_of(image, path)
    info: dict[Any, Any] = image.info
    exif = info.get("exif")
    metadata = Metadata(
        icc_profile=info.get("icc_profile"),
        exif=exif,
        xmp=info.get("xmp"),
        blocks=FileBlocks(resolution=_turned_resolution(info), colour_chunks=_colour_of(info)),
    )
    return Decoded(
        pixels=pixels,
        alpha=alpha,
        metadata=metadata,
        bit_depth=info.get("bit_depth", 8),
        num_frames=len(container),
        orientation=UPRIGHT_TAG,  # libheif has turned it
        losses=_losses_of(info),
    )


def _turned_resolution(info: dict[Any, Any]) -> Resolution | None:
    """What EXIF states, of the picture that libheif has turned."""
    resolution = exif_resolution(info.get("exif"))
    return resolution and resolution.turned() if info.get("original_orientation") in TURNED else resolution


def _colour_of(info: dict[Any, Any]) -> tuple[tuple[bytes, bytes], ...]:
    """A chunk cICP of PNG for colours that are described by numbers alone, and are not those of sRGB."""
    described = info.get("nclx_profile")
    if not isinstance(described, dict) or info.get("icc_profile"):
        return ()
    primaries, transfer = (int(described.get(name, 2)) for name in ("color_primaries", "transfer_characteristics"))
    if primaries in _SAME_AS_SRGB[0] and transfer in _SAME_AS_SRGB[1]:
        return ()
    return ((b"cICP", bytes([primaries & 255, transfer & 255, 0, 1])),)  # RGB, full range


def _losses_of(info: dict[Any, Any]) -> tuple[str, ...]:
    """Other pictures of the container that describe the first one."""
    losses = [_DEPTH_MAP] if info.get("depth_images") else []
    if any("gainmap" in str(kind).lower() for kind in info.get("aux") or ()):
        losses.append(GAIN_MAP)
    return tuple(losses)
