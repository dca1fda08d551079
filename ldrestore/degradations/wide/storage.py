"""What storing and sending pictures costs them, of every make: JPEG on any grid and again, resizing by any kernels."""

import cv2
import numpy as np

from ldrestore.degradations.storage import jpeg_parameters, small_size
from ldrestore.degradations.transfer import clipped
from ldrestore.degradations.wide.codec import recoded

_SAMPLINGS = (
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
)

_SHRINKING = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_NEAREST)
_ENLARGING = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4, cv2.INTER_NEAREST)


def jpeg_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def jpeg_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """One or two JPEG files, the blocks anywhere, as in a picture that was cut since; chroma at full or half size.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]; the quality is about that of `jpeg` at this severity, and of a first file higher.
        generator: Source of grids, sampling and qualities.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    quality = jpeg_parameters(strength)["quality"] * np.exp(generator.normal(0, 0.1))
    codes = np.rint(image * 255).astype(np.uint8)
    if generator.random() < 0.3:
        codes = _stored(codes, quality=quality + generator.uniform(0, 30), generator=generator)
    return _stored(codes, quality=quality, generator=generator).astype(np.float32) / 255


def _stored(codes: np.ndarray, *, quality: float, generator: np.random.Generator) -> np.ndarray:
    """Written and read by OpenCV's codec on a shifted grid: (H, W, 3) uint8 to the same."""
    height, width = codes.shape[:2]
    top, left = (int(shift) for shift in generator.integers(8, size=2))
    sampling = _SAMPLINGS[generator.choice(3, p=(0.65, 0.25, 0.1))]
    bordered = cv2.copyMakeBorder(codes[..., ::-1], top, 0, left, 0, cv2.BORDER_REPLICATE)
    options = [cv2.IMWRITE_JPEG_QUALITY, round(min(max(quality, 4), 97)), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    read = recoded(bordered, options)
    return cv2.cvtColor(read[top : top + height, left : left + width], cv2.COLOR_BGR2RGB)


def downscale_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def downscale_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Shrunk by any kernel, before which a lens or a filter may have blurred, enlarged by any, perhaps sharpened.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]; the factor is about 5^strength a side.
        generator: Source of kernels, blur and sharpening.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    factor = max(1.0, 5.0**strength * np.exp(generator.normal(0, 0.08)))
    if generator.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), max(0.1, factor * generator.uniform(0.15, 0.5)))
    shrinking = _SHRINKING[generator.choice(5, p=(0.4, 0.2, 0.2, 0.15, 0.05))]
    enlarging = _ENLARGING[generator.choice(4, p=(0.45, 0.35, 0.1, 0.1))]
    small = cv2.resize(image, small_size(height, width, factor=factor), interpolation=shrinking)
    result = cv2.resize(small, (width, height), interpolation=enlarging)
    if generator.random() < 0.25:
        soft = cv2.GaussianBlur(result, (0, 0), generator.uniform(0.7, 2.0))
        result = result + np.float32(generator.uniform(0.2, 1.0)) * (result - soft)
    return clipped(result)
