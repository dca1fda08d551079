"""What aerial and satellite pictures suffer from: clouds with their shadows, and coarser ground sampling."""

import cv2
import numpy as np

from ldrestore.degradations.storage import small_size
from ldrestore.degradations.transfer import clipped, to_encoded, to_linear
from ldrestore.degradations.weather import smooth_field

SPECTRAL_DEPTH = np.array([0.95, 1.0, 1.05], np.float32)
"""Optical depth of a thin cloud for red, green and blue, relative to green: it scatters blue a little more."""

SKY_LIGHT = np.array([0.42, 0.47, 0.58], np.float32)
"""Share of the light that still reaches the ground in full shadow, from the blue sky."""

SMALLEST_HILL = 4
"""The finest octave of a cloud has hills of about this many pixels."""

PERSISTENCE = 0.6
"""Amplitude of an octave of a cloud relative to the one of half its frequency."""


def cloud_parameters(severity: float) -> dict[str, float]:
    """Clouds spread from nothing to 70 % of the picture, and become denser, from a veil to opaque."""
    return {"cover": 0.7 * severity, "thickness": 0.4 + 6.6 * severity**2}


def cloud(image: np.ndarray, *, cover: float, thickness: float, generator: np.random.Generator) -> np.ndarray:
    """Clouds seen from above, thin at their rims, and their shadows on the ground, in linear light.

    The optical depth is multi-octave noise above a threshold, as Enomoto et al. 2017, Filmy Cloud Removal
    (https://arxiv.org/abs/1710.04835), draw their clouds. Light follows the scattering model J t + A (1 - t),
    Koschmieder 1924, where J is the ground under the shadow of the same clouds, displaced away from the sun.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        cover: Share of the picture under clouds, in [0, 1].
        thickness: Optical depth in the densest place, at least 0.
        generator: Source of clouds and sun.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    reach = int(np.ceil(0.16 * max(height, width)))
    field = fractal_field(height + 2 * reach, width + 2 * reach, generator=generator)
    azimuth, distance = generator.uniform(0, 2 * np.pi), generator.uniform(0.4, 1.0) * reach
    down, right = round(distance * np.sin(azimuth)), round(distance * np.cos(azimuth))
    depth = _depth_above_threshold(field, cover=cover, thickness=thickness)  # of the picture and what lies around it
    overhead = depth[reach : reach + height, reach : reach + width]
    towards_sun = depth[reach - down :, reach - right :][:height, :width]
    shadow = (1 - np.exp(-towards_sun))[..., None]
    ground = to_linear(image) * (1 - shadow * (1 - SKY_LIGHT))
    transmission = np.exp(-overhead[..., None] * SPECTRAL_DEPTH)
    lit = 0.62 + 0.33 * (1 - np.exp(-0.7 * overhead)) + _relief(overhead, azimuth)
    return to_encoded(ground * transmission + lit[..., None] * (1 - transmission))


def fractal_field(height: int, width: int, *, generator: np.random.Generator) -> np.ndarray:
    """Hills of all sizes, octave upon octave as in Perlin 1985: (H, W) float32, mean 0, standard deviation 1."""
    field = np.zeros((height, width), np.float32)
    cells, amplitude = int(generator.integers(2, 4)), 1.0
    while cells == 2 or cells <= max(2, max(height, width) // SMALLEST_HILL):
        field += np.float32(amplitude) * (smooth_field(height, width, cells=cells, generator=generator) - 0.5)
        cells, amplitude = 2 * cells, PERSISTENCE * amplitude
    field -= field.mean()
    return field / max(float(field.std()), 1e-6)


def _depth_above_threshold(field: np.ndarray, *, cover: float, thickness: float) -> np.ndarray:
    """Optical depth (H, W): zero on all but the highest `cover` of the field, from there in proportion."""
    threshold = np.quantile(field, 1 - cover)
    risen = np.maximum(field - threshold, 0)
    return (thickness * risen / max(float(risen.max()), 1e-6)).astype(np.float32)


def _relief(depth: np.ndarray, azimuth: float) -> np.ndarray:
    """Light and shade on the tops of clouds, (H, W) in [-0.1, 0.1]: slopes that face the sun are brighter."""
    soft = cv2.GaussianBlur(depth, (0, 0), 1.5, borderType=cv2.BORDER_REFLECT_101)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REFLECT_101)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_REFLECT_101)
    return 0.1 * np.tanh(across * np.cos(azimuth) + down * np.sin(azimuth))


def aerial_downscale_parameters(severity: float) -> dict[str, float]:
    """Ground sampling 1, 2.2 and 5 times as coarse at severity 0, 0.5 and 1, in equal ratios; common optics."""
    return {"factor": 5.0**severity, "mtf": 0.3}


def aerial_downscale(image: np.ndarray, *, factor: float, mtf: float, generator: np.random.Generator) -> np.ndarray:
    """What a sensor of coarser ground sampling sees, enlarged back to size with the bicubic kernel.

    The optics are a Gaussian whose modulation transfer at the sensor's own Nyquist frequency is `mtf`, as Aiazzi et al.
    2006, MTF-tailored Multiscale Fusion, model satellite sensors; each detector then averages the light over its area.
    Both in linear light. The picture has already been through optics as good for its own, finer pixels: only what is
    missing is added, so factor 1 changes nothing.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        factor: How many times fewer pixels a side, at least 1.
        mtf: Modulation transfer of the optics at the Nyquist frequency, above 0 and at most 1.
        generator: Source of the variation of the blur along the two axes, up to 15 %.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    sigma = np.sqrt(-2 * np.log(mtf) * (factor**2 - 1)) / np.pi  # in pixels of the picture
    along, across = sigma * generator.uniform(0.85, 1.15, size=2)
    light = to_linear(image)
    if min(along, across) > 0.05:  # a narrower Gaussian is a point
        light = cv2.GaussianBlur(light, (0, 0), sigmaX=along, sigmaY=across, borderType=cv2.BORDER_REFLECT_101)
    size = small_size(height, width, factor=factor)
    small = to_encoded(cv2.resize(light, size, interpolation=cv2.INTER_AREA))
    return clipped(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
