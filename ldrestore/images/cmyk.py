"""CMYK to sRGB, by the picture's profile where it has a good one; 8 bits through LittleCMS, 16 bits in float."""

import io
import itertools
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

_STEP = 15
"""8-bit levels between the nodes of the table that deep values are interpolated in: 18 nodes along each ink."""
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
        warnings.warn(f"{name}: the CMYK profile cannot be used, colours are approximate ({error})", stacklevel=2)
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
    """16-bit CMYK to 16-bit sRGB, computed in float32.

    LittleCMS, as Pillow calls it, has 8 bits: it is asked for the colours of a table of inks, and what lies between
    the nodes is interpolated linearly along each of the four. Without a profile: R = (1 - C) (1 - K), and so on.

    Args:
        inks: (H, W, 4) uint16; 65535 is full ink.
        profile: ICC profile of the inks.
        name: What messages call the picture.

    Returns:
        (H, W, 3) uint16.
    """
    levels = np.arange(0, 256, _STEP, dtype=np.uint8)
    nodes = np.stack(np.meshgrid(*[levels] * 4, indexing="ij"), axis=-1).reshape(-1, len(levels) ** 2, 4)
    convert = cmyk_to_srgb(profile, name)
    table = np.asarray(convert(Image.frombytes("CMYK", nodes.shape[1::-1], nodes.tobytes())), np.float32)
    table = table.reshape(*[len(levels)] * 4, 3)
    colours = np.empty((*inks.shape[:2], 3), np.uint16)
    num_rows = max(1, _BAND_PIXELS // inks.shape[1])
    for top in range(0, len(inks), num_rows):
        band = inks[top : top + num_rows].astype(np.float32)
        if profile:
            rgb = _interpolated(table, band * np.float32((len(levels) - 1) / 65535)) * np.float32(257)
        else:
            rgb = (65535 - band[..., :3]) * (65535 - band[..., 3:]) / np.float32(65535)
        colours[top : top + num_rows] = np.rint(rgb.clip(0, 65535))
    return colours


def _interpolated(table: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A table (n, n, n, n, 3) at places (..., 4) in [0, n - 1], linearly along each axis."""
    low = np.minimum(places.astype(np.intp), table.shape[0] - 2)
    share = places - low
    total = np.zeros((*places.shape[:-1], 3), np.float32)
    for corner in itertools.product((0, 1), repeat=4):
        weights = np.prod(np.where(np.array(corner, bool), share, 1 - share), axis=-1, keepdims=True)
        total += weights * table[tuple(low[..., axis] + corner[axis] for axis in range(4))]
    return total
