"""Noise: additive Gaussian, photon counting, and a camera's through a simple raw pipeline.

Every degradation of this package comes as a pair: `<name>_parameters(severity)` maps a severity in [0, 1] to physical
parameters, and `<name>(image, ..., generator)` applies them.
"""

import numpy as np

from ldrestore.degradations.mosaic import SITES, interpolated
from ldrestore.degradations.transfer import clipped, to_encoded, to_linear


def gaussian_noise_parameters(severity: float) -> dict[str, float]:
    """Standard deviation 50 times the severity, in 8-bit units."""
    return {"sigma_255": 50.0 * severity}


def gaussian_noise(image: np.ndarray, *, sigma_255: float, generator: np.random.Generator) -> np.ndarray:
    """Add white Gaussian noise to the code values and clip: x + sigma n, as in Zhang et al. 2017, DnCNN.

    https://arxiv.org/abs/1608.03981

    Args:
        image: (H, W, 3) float32 in [0, 1].
        sigma_255: Standard deviation in 8-bit units, at least 0.
        generator: Source of the noise.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    return clipped(image + (sigma_255 / 255.0) * generator.standard_normal(image.shape, dtype=np.float32))


def poisson_noise_parameters(severity: float) -> dict[str, float]:
    """From 1000 photons at white at severity 0 down to 12.6 at severity 1, in equal ratios."""
    return {"photons": 10.0 ** (3.0 - 1.9 * severity)}


def poisson_noise(image: np.ndarray, *, photons: float, generator: np.random.Generator) -> np.ndarray:
    """Count photons: Poisson(photons x) / photons on the code values, so that the variance is x / photons.

    The signal-dependent part of Foi et al. 2008 (https://doi.org/10.1109/TIP.2008.2001399).

    Args:
        image: (H, W, 3) float32 in [0, 1].
        photons: Mean count at value 1, above 0.
        generator: Source of the counts.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    return clipped(generator.poisson(image * photons).astype(np.float32) / np.float32(photons))


def real_noise_parameters(severity: float) -> dict[str, float]:
    """Shot and read noise that grow by equal ratios, over the range of sensors in Brooks et al. 2019, and beyond."""
    return {"shot": 10.0 ** (-3.6 + 1.9 * severity), "read": 10.0 ** (-3.3 + severity)}


def real_noise(image: np.ndarray, *, shot: float, read: float, generator: np.random.Generator) -> np.ndarray:
    """Sensor noise before white balance and demosaicking, as a camera's pipeline shows it.

    After Brooks et al. 2019, Unprocessing Images for Learned Raw Denoising (https://arxiv.org/abs/1811.11127): the
    picture is taken back to linear light and un-balanced with random gains; noise of variance shot * signal + read^2 is
    drawn at each site of a Bayer mosaic (RGGB) and runs through bilinear demosaicking, white balance and sRGB curve.
    Only the noise is demosaicked, the picture keeps its detail. The result is signal-dependent, spatially correlated
    and coloured.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        shot: Variance per unit of linear signal, at least 0.
        read: Standard deviation in the dark, in linear light, at least 0.
        generator: Source of gains and noise.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    gains = np.array([generator.uniform(1.4, 2.4), 1.0, generator.uniform(1.4, 2.2)], np.float32)
    linear = to_linear(image)
    sites = generator.standard_normal((height, width), dtype=np.float32)  # one sample a pixel, as on a sensor
    noise = np.zeros_like(linear)
    for channel, phase in SITES:
        own = (slice(phase[0], None, 2), slice(phase[1], None, 2))
        variance = shot * linear[(*own, channel)] / gains[channel] + read**2
        noise[(*own, channel)] = sites[own] * np.sqrt(variance)
    return to_encoded(linear + interpolated(noise) * gains)
