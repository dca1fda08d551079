"""The sRGB transfer curve between stored code values and linear light, IEC 61966-2-1.

Powers are taken in float64: those of float32 differ in the last bit between processors, which would make the same
damage, from the same seed, another picture here and there.
"""

import numpy as np


def to_linear(encoded: np.ndarray) -> np.ndarray:
    """Code values in [0, 1] to linear light in [0, 1], float32, any shape."""
    encoded = encoded.astype(np.float64)
    low, high = encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, low, high).astype(np.float32)


def to_encoded(linear: np.ndarray) -> np.ndarray:
    """Linear light, clipped to [0, 1], to code values in [0, 1], float32, any shape; the inverse of `to_linear`."""
    linear = np.clip(linear, 0.0, 1.0).astype(np.float64)
    high = 1.055 * np.power(np.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, high).astype(np.float32)


def clipped(image: np.ndarray) -> np.ndarray:
    """Values clipped to [0, 1], float32."""
    return np.clip(image, 0.0, 1.0).astype(np.float32)
