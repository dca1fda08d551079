"""Displays in front of the camera: one that it looks through, and one that it photographs; in linear light."""

import cv2
import numpy as np

from ldrestore.degradations.mosaic import interpolated, mosaicked
from ldrestore.degradations.transfer import to_encoded, to_linear
from ldrestore.degradations.weather import smooth_field

APERTURE = 256
"""Samples along a side of the aperture; the point spread function reaches half as far, in pixels."""

REACH = 64
"""Radius in pixels to which the point spread function is kept."""

WAVELENGTHS = (610.0, 540.0, 465.0)
"""Of red, green and blue, in nanometres."""

SUBPIXEL = 1 / 3
"""Offset of red to green and of green to blue in an LCD's pixel, in widths of it."""


def under_display_parameters(severity: float) -> dict[str, float]:
    """The display closes from fully open to a quarter open; light is lost, most in blue, and noise comes up."""
    return {
        "openness": 1.0 - 0.75 * severity,
        "transmission": 1.0 - 0.5 * severity,
        "cast": 0.5 * severity,
        "shot": 2e-3 * severity,
        "read": 5e-3 * severity,
    }


def under_display(
    image: np.ndarray,
    *,
    openness: float,
    transmission: float,
    cast: float,
    shot: float,
    read: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """A picture taken through a phone's display.

    The model gamma (x * k) + n of Zhou et al. 2021, Image Restoration for Under-Display Camera
    (https://arxiv.org/abs/2003.04857), in which the point spread function k is the squared Fourier transform of the
    display's openings, of a size in proportion to the wavelength: copies of the picture at the diffraction orders of
    the pixel grid. The substrate takes most from blue.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        openness: Share of the display's area that lets light through, above 0 and at most 1.
        transmission: Exposure in green that is left, in [0, 1].
        cast: Negative logarithm of what is left in blue relative to green; red gains a quarter of it.
        shot: Variance per unit of linear signal, at least 0.
        read: Standard deviation in the dark, in linear light, at least 0.
        generator: Source of layout and noise.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    pitch = generator.uniform(20.0, 34.0)
    shape = generator.uniform(0.25, 0.75)
    angle = generator.choice([0.0, np.pi / 4]) + generator.normal(0, 0.03)
    light = to_linear(image)
    channels = []
    for channel, wavelength in enumerate(WAVELENGTHS):
        kernel = diffraction_kernel(openness, pitch=pitch * WAVELENGTHS[1] / wavelength, shape=shape, angle=angle)
        channels.append(cv2.filter2D(light[..., channel], -1, kernel, borderType=cv2.BORDER_REFLECT_101))
    gains = np.float32(transmission) * np.exp(cast * np.array([0.25, 0.0, -1.0])).astype(np.float32)
    exposed = np.maximum(np.stack(channels, axis=-1), 0) * gains
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    return to_encoded(exposed + np.sqrt(np.float32(shot) * exposed + np.float32(read**2)) * noise)


def diffraction_kernel(openness: float, *, pitch: float, shape: float, angle: float) -> np.ndarray:
    """Point spread function of a lens behind a grid of rectangular openings, after Fraunhofer.

    Args:
        openness: Share of each cell that is open, above 0 and at most 1.
        pitch: Side of a cell in samples of the aperture; orders are `APERTURE / pitch` pixels apart.
        shape: The openings' width is openness^shape cells, their height openness^(1 - shape).
        angle: Of the grid, in radians.

    Returns:
        (K, K) float32 with K odd, non-negative, sum 1; a point where all is open.
    """
    rows, columns = np.mgrid[:APERTURE, :APERTURE] / pitch
    across = columns * np.cos(angle) + rows * np.sin(angle)
    along = rows * np.cos(angle) - columns * np.sin(angle)
    is_open = _covers(across, openness**shape, pitch) * _covers(along, openness ** (1 - shape), pitch)
    spread = np.abs(np.fft.fftshift(np.fft.fft2(is_open))) ** 2
    middle = slice(APERTURE // 2 - REACH, APERTURE // 2 + REACH + 1)
    kernel = spread[middle, middle]
    return (kernel / kernel.sum()).astype(np.float32)


def _covers(place: np.ndarray, width: float, pitch: float) -> np.ndarray:
    """How far slits of a width (in cells) about the whole numbers cover places (in cells), edges a sample wide."""
    distance = np.abs(place - np.round(place))
    return np.clip((width / 2 - distance) * pitch + 0.5, 0.0, 1.0) if width < 1 else np.ones_like(place)


def moire_parameters(severity: float) -> dict[str, float]:
    """The grid of the display gains contrast, reflections on its glass light."""
    return {"contrast": 1.2 * severity, "veil": 0.06 * severity}


def moire(image: np.ndarray, *, contrast: float, veil: float, generator: np.random.Generator) -> np.ndarray:
    """A photograph of an LCD that shows the picture: its subpixels beat with the camera's colour mosaic.

    As Yuan et al. 2019, AIM Challenge on Image Demoireing (https://arxiv.org/abs/1911.02498), make LCDMoire: red, green
    and blue stripes on a black grid, seen at an angle and in perspective, are sampled by Bayer's mosaic and
    interpolated. Of the display's pattern, its first three harmonics are sampled in closed form; the picture keeps its
    detail and its place.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        contrast: Factor on the pattern's depth, at least 0; 1 is a sharp lens.
        veil: Light of reflections on the glass, in [0, 1].
        generator: Source of distance, angle, perspective and reflection.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    across, down = screen_coordinates(height, width, generator=generator)
    pattern = _photographed(across, down)
    light = to_linear(image) * np.maximum(1 + np.float32(contrast) * pattern, 0)
    glass = veil * (0.5 + smooth_field(height, width, cells=2, generator=generator))[..., None]
    return to_encoded(light * (1 - veil) + 0.4 * glass)


def screen_coordinates(height: int, width: int, *, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where on the display, counted in its pixels, each pixel of the camera looks.

    About one or about half a display pixel comes on one of the camera, where beats are slow; the display is turned,
    tilted and seen through a lens that distorts.

    Returns:
        Places along the display's rows and columns, each (H, W) float32.
    """
    longer = max(height, width, 2)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = columns - (width - 1) / 2, rows - (height - 1) / 2
    scale = generator.choice([0.5, 1.0]) + generator.normal(0, 0.03)
    angle = generator.normal(0, 0.06)
    tilt = generator.normal(0, 0.03, 2) / longer
    bend = generator.normal(0, 0.05) / longer**2
    away = scale * (1 + tilt[0] * x + tilt[1] * y + bend * (x**2 + y**2))
    across = away * (x * np.cos(angle) + y * np.sin(angle)) + generator.random()
    down = away * (y * np.cos(angle) - x * np.sin(angle)) + generator.random()
    return across.astype(np.float32), down.astype(np.float32)


def _photographed(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The display's pattern less its mean as the camera's mosaic and its interpolation show it: (H, W, 3) float32."""
    rows = _stripes(down, duty=0.85)
    emitted = np.stack([_stripes(across + shift, duty=0.3) for shift in (SUBPIXEL, 0.0, -SUBPIXEL)], axis=-1)
    pattern = (1 + emitted) * (1 + rows)[..., None] - 1
    bordered = cv2.copyMakeBorder(pattern, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    photograph = interpolated(mosaicked(bordered.astype(np.float32)))
    return cv2.GaussianBlur(photograph, (3, 3), 0, borderType=cv2.BORDER_REFLECT_101)[2:-2, 2:-2]


def _stripes(place: np.ndarray, *, duty: float) -> np.ndarray:
    """Stripes about the whole numbers, blurred by lens and detector, relative to their mean and less it: (H, W)."""
    result = np.zeros_like(place)
    for harmonic, passed in ((1, 0.4), (2, 0.12), (3, 0.03)):
        result += 2 * passed * np.sinc(harmonic * duty) * np.cos(2 * np.pi * harmonic * place)
    return result
