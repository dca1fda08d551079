"""Camera noise of every make: through mosaic, white balance, tone curve, denoising, sharpening, resizing and JPEG."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped
from ldrestore.degradations.wide.camera import (
    DISPLAY_GAMMA,
    denoised,
    draw_denoiser,
    draw_sensor,
    sensor_noise,
    stored,
)


def real_noise_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def real_noise_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Sensor noise as a whole camera shows it, after Brooks et al. 2019 (https://arxiv.org/abs/1811.11127) and on.

    Signal-dependent, with neighbours and colours correlated as denoising, resizing and chroma at half size leave them;
    largest in the mid-tones under a contrasty tone curve. The picture keeps its detail but for what JPEG and, seldom,
    the interpolation of the mosaic take.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]. The standard deviation in the mid-tones is about 0.7 + 45 strength^1.7 of 255.
        generator: Source of all else.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    sigma = (0.7 + 45 * strength**1.7) / 255 * np.exp(generator.normal(0, 0.2))
    shrink = generator.uniform(0.4, 1.0) if generator.random() < 0.4 else 1.0
    height, width = image.shape[:2]
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    sized = image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    noise = _camera_noise(sized, sigma=sigma, generator=generator)
    if size != (width, height):
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    noisy = cv2.add(image, noise)
    return stored(noisy, quality=int(generator.integers(55, 99))) if generator.random() < 0.65 else clipped(noisy)


def _camera_noise(image: np.ndarray, *, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Noise of one camera on the code values, with this standard deviation in the mid-tones."""
    light = cv2.pow(image, DISPLAY_GAMMA)
    sensor = draw_sensor(sigma / 1.1, generator)  # the curve's slope at mid-grey is 1.1
    is_whole = bool(sigma > 4 / 255 and generator.random() < 0.2)
    noise = sensor_noise(light, sensor, is_whole=is_whole, generator=generator)
    toe = np.float32(max(1e-3, sigma))  # below, a curve that is steeper than this would lift the clipped noise
    noise *= cv2.pow(light + toe, 1 / DISPLAY_GAMMA - 1) * np.float32(1 / DISPLAY_GAMMA)
    contrast = generator.uniform(0, 0.9) if generator.random() < 0.6 else 0.0
    if contrast > 0:  # an S-shaped curve is steep in the middle and flat at both ends
        noise = noise * (1 + np.float32(contrast) * (4 * image * (1 - image) - 1))
    return denoised(noise, image, draw_denoiser(generator))
