"""CMYK to sRGB, by the picture's profile where it has a good one, through LittleCMS in 8 and in 16 bits."""

import io
import warnings
from collections.abc import Callable

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

_BAND_PIXELS = 2**18


def cmyk_to_srgb(profile: bytes | None, name: object) -> Callable[[Image.Image], Image.Image]:
    """How bands of 8-bit CMYK become RGB.

    Args:
        profile: ICC profile of the inks; None for the plain complement.
        name: What messages call the picture.
    """
    if not profile:
        return lambda band: band.convert("RGB")
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, "CMYK", "RGB")
    except (OSError, ImageCms.PyCMSError) as error:
        _warn_of_profile(name, error)
        return lambda band: band.convert("RGB")
    return lambda band: transform.apply(band)


def shallow_cmyk_to_srgb(inks: np.ndarray, profile: bytes | None, name: object) -> np.ndarray:
    """8-bit CMYK to 8-bit sRGB.

    Args:
        inks: (H, W, 4) uint8; 255 is full ink.
        profile: ICC profile of the inks.
        name: What messages call the picture.

    Returns:
        (H, W, 3) uint8.
    """
    convert = cmyk_to_srgb(profile, name)
    colours = np.empty((*inks.shape[:2], 3), np.uint8)
    num_rows = max(1, _BAND_PIXELS // inks.shape[1])
    for top in range(0, len(inks), num_rows):
        band = inks[top : top + num_rows]
        colours[top : top + num_rows] = convert(Image.frombytes("CMYK", band.shape[1::-1], band.tobytes()))
    return colours


def deep_cmyk_to_srgb(inks: np.ndarray, profile: bytes | None, name: object) -> np.ndarray:
    """16-bit CMYK to 16-bit sRGB; without a profile R = (1 - C) (1 - K), and so on, in float32.

    Args:
        inks: (H, W, 4) uint16; 65535 is full ink.
        profile: ICC profile of the inks.
        name: What messages call the picture.

    Returns:
        (H, W, 3) uint16.
    """
    convert = _deep_conversion(profile, name)
    colours = np.empty((*inks.shape[:2], 3), np.uint16)
    num_rows = max(1, _BAND_PIXELS // inks.shape[1])
    for top in range(0, len(inks), num_rows):
        colours[top : top + num_rows] = convert(np.ascontiguousarray(inks[top : top + num_rows]))
    return colours


def _deep_conversion(profile: bytes | None, name: object) -> Callable[[np.ndarray], np.ndarray]:
    """How bands (h, W, 4) of 16-bit CMYK become (h, W, 3) of 16-bit sRGB."""
    if not profile:
        return _complement
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def convert(band: np.ndarray) -> np.ndarray:
        return imagecodecs.cms_transform(
            band, profile, target, colorspace="cmyk", outcolorspace="rgb", planar=False, outplanar=False, intent=0
        )

    try:
        convert(np.zeros((1, 1, 4), np.uint16))
    except (imagecodecs.CmsError, ValueError) as error:
        _warn_of_profile(name, error)
        return _complement
    return convert


def _complement(inks: np.ndarray) -> np.ndarray:
    """(h, W, 4) uint16 to (h, W, 3) uint16."""
    light = 65535 - inks.astype(np.float32)
    colours: np.ndarray = np.rint(light[..., :3] * light[..., 3:] / np.float32(65535)).astype(np.uint16)
    return colours


def _warn_of_profile(name: object, error: Exception) -> None:
    """Tell that colours are those of a plain complement."""
    warnings.warn(f"{name}: the CMYK profile cannot be used, colours are approximate ({error})", stacklevel=3)
