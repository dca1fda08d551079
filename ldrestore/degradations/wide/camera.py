"""What a camera makes of light: a noisy mosaic, its interpolation, denoising, sharpening and the file."""

from dataclasses import dataclass

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped
from ldrestore.degradations.wide.codec import recoded

DISPLAY_GAMMA = 2.2
"""Code values to light by a pure power: OpenCV's is ten times as fast as the two branches of sRGB."""

MID_GREY = 0.2
"""Linear light of a mid-tone, at which strengths of noise are stated."""

_CODES = 40000.0
"""Code values of the 16-bit mosaic per unit of light; what lies above 1 leaves room for noise."""
_BLACK = 12000.0
"""Code value of no light; what lies below leaves room for noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """Noise of a sensor, as Foi et al. 2008 (https://doi.org/10.1109/TIP.2008.2001399), and its white balance."""

    shot: float
    """Variance per unit of linear light."""
    read: float
    """Standard deviation in the dark, in linear light."""
    gains: tuple[float, float, float]
    """White balance: factors on red, green and blue; noise comes before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoiser:
    """What the camera leaves of the noise."""

    luma_sigma: float
    """Blur of the brightness noise in pixels; 0 for none."""
    chroma_sigma: float
    """Blur of the colour noise in pixels; 0 for none."""
    chroma_share: float
    """Share of the colour noise that stays, in [0, 1]."""
    texture_share: float
    """Share of the unblurred brightness noise that stays where the picture has texture, in [0, 1]."""
    sharpening: float
    """Share of the fine part that sharpening adds again, at least 0."""


def draw_sensor(sigma: float, generator: np.random.Generator) -> Sensor:
    """A sensor with this standard deviation of the noise at mid-grey, in linear light."""
    of_photons = generator.uniform(0.3, 0.98)
    return Sensor(
        shot=of_photons * sigma**2 / MID_GREY,
        read=float(np.sqrt((1 - of_photons) * sigma**2)),
        gains=(generator.uniform(1.2, 2.4), 1.0, generator.uniform(1.2, 2.2)),
    )


def draw_denoiser(generator: np.random.Generator) -> Denoiser:
    """Any camera: from one that leaves the noise alone to a telephone."""
    if generator.random() < 0.12:
        return Denoiser(luma_sigma=0.0, chroma_sigma=0.0, chroma_share=1.0, texture_share=1.0, sharpening=0.0)
    return Denoiser(
        luma_sigma=2.0 * generator.random() ** 1.3,
        chroma_sigma=generator.uniform(0.7, 5.0),
        chroma_share=generator.uniform(0.1, 1.0),
        texture_share=generator.random(),
        sharpening=generator.uniform(0, 1.2) if generator.random() < 0.5 else 0.0,
    )


def sensor_noise(light: np.ndarray, sensor: Sensor, *, is_whole: bool, generator: np.random.Generator) -> np.ndarray:
    """Noise drawn at the sites of a Bayer mosaic and interpolated with the picture, bilinearly.

    Args:
        light: (H, W, 3) float32, linear, in [0, 1].
        sensor: The noise, and the white balance.
        is_whole: Whether the interpolation's own error, zippers and false colours, counts as noise too.
        generator: Source of the mosaic's phase and the noise.

    Returns:
        (H, W, 3) float32, to be added to the light.
    """
    height, width = light.shape[:2]
    phase = int(generator.integers(4))
    padded = cv2.copyMakeBorder(light, phase // 2, 2, phase % 2, 2, cv2.BORDER_REFLECT)
    mosaic = padded[..., 1].copy()
    gains = np.full(mosaic.shape, sensor.gains[1], np.float32)
    for channel, sites in ((0, np.s_[::2, ::2]), (2, np.s_[1::2, 1::2])):
        mosaic[sites], gains[sites] = padded[..., channel][sites], sensor.gains[channel]
    deviation = cv2.sqrt(gains * mosaic * np.float32(sensor.shot) + (gains * np.float32(sensor.read)) ** 2)
    noise = generator.standard_normal(mosaic.shape, dtype=np.float32) * deviation
    inner = np.s_[phase // 2 : phase // 2 + height, phase % 2 : phase % 2 + width]
    if is_whole:
        return _interpolated(mosaic + noise)[inner] - light
    return _interpolated(noise * np.float32(0.5))[inner] * np.float32(2)


def _interpolated(mosaic: np.ndarray) -> np.ndarray:
    """An RGGB mosaic (H, W) float32 interpolated bilinearly, through 16 bits: (H, W, 3) float32."""
    codes = np.clip(mosaic * _CODES + _BLACK, 0, 65535).astype(np.uint16)
    return (cv2.cvtColor(codes, cv2.COLOR_BayerRGGB2RGB).astype(np.float32) - _BLACK) / _CODES


def denoised(noise: np.ndarray, image: np.ndarray, denoiser: Denoiser) -> np.ndarray:
    """What a camera leaves of noise: colour noise more blurred than brightness noise, textures less than flat parts.

    The filters act on the noise: the picture keeps its detail, as the mean of many shots through one camera does.

    Args:
        noise: (H, W, 3) float32, on code values.
        image: (H, W, 3) float32 in [0, 1], the picture, which says where texture is.
        denoiser: How strongly.

    Returns:
        (H, W, 3) float32, the standard deviation brought back by a gain of at most three.
    """
    luma = cv2.transform(noise, np.array([[0.25, 0.5, 0.25]], np.float32))
    chroma = (noise - cv2.merge([luma] * 3)) * np.float32(denoiser.chroma_share)
    if denoiser.chroma_sigma > 0:
        chroma = _blurred(chroma, denoiser.chroma_sigma) * np.float32(max(1.0, denoiser.chroma_sigma) ** 0.5)
    if denoiser.luma_sigma > 0:
        soft = _blurred(luma, denoiser.luma_sigma)
        luma = soft + (luma - soft) * (np.float32(denoiser.texture_share) * _texture(image))
    if denoiser.sharpening > 0:
        luma = luma + np.float32(denoiser.sharpening) * (luma - cv2.GaussianBlur(luma, (0, 0), 1.0))
    result = cv2.merge([luma] * 3) + chroma
    before, after = float(cv2.meanStdDev(noise)[1].mean()), float(cv2.meanStdDev(result)[1].mean())
    return result * np.float32(min(3.0, before / max(after, 1e-6)))


def _blurred(field: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, wide ones at half size."""
    if sigma < 2 or min(field.shape[:2]) < 16:
        return cv2.GaussianBlur(field, (0, 0), sigma)
    half = cv2.resize(field, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(half, (0, 0), sigma / 2), field.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _texture(image: np.ndarray) -> np.ndarray:
    """Where there is texture or an edge: (H, W) float32 in [0, 1]."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.minimum(cv2.blur(np.abs(grey - cv2.blur(grey, (5, 5))), (5, 5)) * np.float32(25), np.float32(1))


def stored(image: np.ndarray, *, quality: int) -> np.ndarray:
    """Written to JPEG and read again, chroma at half size, with OpenCV's codec: (H, W, 3) float32 in [0, 1]."""
    codes = np.rint(clipped(image)[..., ::-1] * 255).astype(np.uint8)
    read = recoded(codes, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(read, cv2.COLOR_BGR2RGB).astype(np.float32) / 255
