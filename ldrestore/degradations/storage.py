"""What storing a picture costs it: JPEG compression, and too few pixels."""

import io

import cv2
import numpy as np
from PIL import Image

from ldrestore.degradations.transfer import clipped
from ldrestore.errors import ShapeError
from ldrestore.images.formats import MAX_SIDES

KERNELS = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
"""Names of the kernels that shrink a picture; "random" draws one of them."""


def jpeg_parameters(severity: float) -> dict[str, float]:
    """Quality 95 at severity 0, 20 at 0.5, 6 at 1, in equal ratios on either half."""
    if severity <= 0.5:
        return {"quality": 95.0 * (20 / 95) ** (2 * severity)}
    return {"quality": 20.0 * (6 / 20) ** (2 * severity - 1)}


def jpeg(image: np.ndarray, *, quality: float, generator: np.random.Generator) -> np.ndarray:
    """Write and read a JPEG file (ITU-T T.81) with the real codec, chroma at half size (4:2:0).

    Args:
        image: (H, W, 3) float32 in [0, 1].
        quality: libjpeg's quality, 1 to 95, rounded to a whole number.
        generator: Not drawn from; compression has no chance in it.

    Returns:
        (H, W, 3) float32 in [0, 1].

    Raises:
        ShapeError: a side is longer than JPEG can say.
    """
    del generator
    height, width = image.shape[:2]
    if max(height, width) > MAX_SIDES["JPEG"]:
        raise ShapeError(
            f"JPEG holds at most {MAX_SIDES['JPEG']} pixels a side, got {width}x{height}; degrade parts of the "
            "picture, or leave jpeg out of the recipe"
        )
    file = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(file, "JPEG", quality=round(quality), subsampling=2)
    return np.asarray(Image.open(file), np.float32) / 255


def downscale_parameters(severity: float) -> dict[str, float | str]:
    """Factor 1 at severity 0, 2 at 0.5, 4 at 1, in equal ratios; the kernel is drawn."""
    return {"factor": 4.0**severity, "kernel": "random"}


def downscale(image: np.ndarray, *, factor: float, kernel: str, generator: np.random.Generator) -> np.ndarray:
    """Shrink with a named kernel and enlarge back to size with the bicubic one.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        factor: How many times fewer pixels a side, at least 1.
        kernel: A key of `KERNELS`, or "random". Only "area" filters before it samples, as OpenCV's others do not.
        generator: Source of a random kernel.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    if kernel == "random":
        kernel = list(KERNELS)[generator.integers(len(KERNELS))]
    height, width = image.shape[:2]
    small = cv2.resize(image, small_size(height, width, factor=factor), interpolation=KERNELS[kernel])
    return clipped(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def small_size(height: int, width: int, *, factor: float) -> tuple[int, int]:
    """Width and height, in this order, of a picture with `factor` times fewer pixels a side; at least 1."""
    return max(1, round(width / factor)), max(1, round(height / factor))
