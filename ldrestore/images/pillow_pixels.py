"""Arrays of images that Pillow has opened."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from ldrestore.errors import UnsupportedFormatError
from ldrestore.images.cmyk import cmyk_to_srgb

BAND_PIXELS = 2**20
"""So many pixels are converted at a time: no second copy of the whole picture is needed."""

Conversion = Callable[[Image.Image], Image.Image]

_ADVICE = {
    "I": "pass numpy.asarray(image).astype('uint16') where its values lie in [0, 65535]",
    "F": "pass numpy.asarray(image) where its values lie in [0, 1]",
}


def pixels_of(image: Image.Image, name: object) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels (H, W, 1 or 3) and alpha (H, W) of a Pillow image of any mode, converted band by band; not turned.

    Palettes become RGB, transparency becomes alpha, CMYK becomes sRGB, 1-bit becomes grey.

    Args:
        image: Opened; decoded here.
        name: What messages call it.

    Raises:
        UnsupportedFormatError: a mode such as LAB that has no place here.
    """
    image.load()
    convert = _conversion_of(image, name)
    width, height = image.size
    num_rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, num_rows):
        bottom = min(top + num_rows, height)
        band = np.asarray(convert(image.crop((0, top, width, bottom))))
        band = band if band.ndim == 3 else band[..., None]  # (h, W, 1 to 4)
        if top == 0:
            has_alpha, dtype = band.shape[2] in (2, 4), band.dtype.newbyteorder("=")
            pixels = np.empty((height, width, band.shape[2] - has_alpha), dtype)
            alpha = np.empty((height, width), dtype) if has_alpha else None
        pixels[top:bottom] = band[..., : pixels.shape[2]]
        if alpha is not None:
            alpha[top:bottom] = band[..., -1]
    return pixels, alpha


def _conversion_of(image: Image.Image, name: object) -> Conversion:
    """How bands of an image become mode L, LA, RGB, RGBA or I;16.

    Raises:
        UnsupportedFormatError: the mode has no such counterpart.
    """
    mode, is_transparent = image.mode, "transparency" in image.info
    if mode == "CMYK":
        return cmyk_to_srgb(image.info.get("icc_profile"), name)
    if (mode in ("L", "LA", "RGB", "RGBA") and not is_transparent) or mode.startswith("I;16"):
        return lambda band: band
    targets = {"1": "L", "L": "L", "La": "LA", "LA": "LA", "PA": "RGBA", "RGBa": "RGBA", "RGBA": "RGBA"}
    targets |= dict.fromkeys(("P", "RGB", "RGBX", "YCbCr"), "RGB")
    if mode not in targets:
        advice = _ADVICE.get(mode, "convert it to RGB or grey first")
        raise UnsupportedFormatError(str(name), f"pictures of mode {mode} are not supported", advice)
    target = targets[mode]
    if is_transparent and not target.endswith("A"):
        target += "A"
    return lambda band: band.convert(target)
