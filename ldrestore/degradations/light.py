"""Too little light."""

import numpy as np

from ldrestore.degradations.transfer import to_encoded, to_linear


def low_light_parameters(severity: float) -> dict[str, float]:
    """Exposure from 1 to 5.6 stops too short, with the noise that the sensor's gain brings up."""
    return {
        "stops": 1.0 + 4.6 * severity,
        "shot": 2e-5 + 2.5e-4 * severity,
        "read": 4e-4 + 1.2e-3 * severity,
        "cast": 0.08,
    }


def low_light(
    image: np.ndarray, *, stops: float, shot: float, read: float, cast: float, generator: np.random.Generator
) -> np.ndarray:
    """Expose too short, in linear light: 2^-stops times a colour cast, plus photon and read noise.

    Linear exposure and heteroscedastic noise as in Wei et al. 2020 (https://arxiv.org/abs/2003.12751) and Lv et al.
    2021, Attention Guided Low-light Image Enhancement (https://arxiv.org/abs/1908.00682).

    Args:
        image: (H, W, 3) float32 in [0, 1].
        stops: Factors of two in exposure, at least 0.
        shot: Variance per unit of the darkened linear signal, at least 0.
        read: Standard deviation in the dark, in linear light, at least 0.
        cast: Standard deviation of the logarithm of each channel's gain, at least 0.
        generator: Source of cast and noise.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    gains = np.exp(generator.normal(0, cast, 3)).astype(np.float32)
    dark = to_linear(image) * np.float32(2.0**-stops) * gains
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    return to_encoded(dark + np.sqrt(dark * np.float32(shot) + np.float32(read**2)) * noise)
