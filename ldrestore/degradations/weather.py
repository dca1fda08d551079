"""Rain, snow and haze: what the air puts between scene and camera, in linear light.

Each follows the scattering model J t + A (1 - t), Koschmieder 1924, in the form of He et al. 2009, Eq. 1
(https://doi.org/10.1109/CVPR.2009.5206515), with its own transmission t.
"""

import cv2
import numpy as np

from ldrestore.degradations.transfer import to_encoded, to_linear

RAIN_LAYERS = ((9.0, 0.5, 9e-4, 0.25), (17.0, 0.7, 4e-4, 0.35), (28.0, 1.0, 1.3e-4, 0.5))
"""Far to near: length and half width of a streak in pixels, starts a pixel, opacity."""

SNOW_LAYERS = ((0.8, 0.55, 8e-3), (1.5, 0.75, 2.5e-3), (2.6, 0.85, 7e-4), (4.5, 0.7, 1.2e-4))
"""Far to near: radius of a flake in pixels, opacity, flakes a pixel; the nearest are out of focus, so less opaque."""


def rain_parameters(severity: float) -> dict[str, float]:
    """Streaks become denser and more opaque, the veil thicker."""
    return {"density": 0.3 + 2.0 * severity, "opacity": 0.35 + 1.3 * severity, "veil": 0.13 * severity}


def rain(
    image: np.ndarray, *, density: float, opacity: float, veil: float, generator: np.random.Generator
) -> np.ndarray:
    """Streaks in three depths with one wind, and a veil of drops too far to see.

    Garg and Nayar 2007 (https://doi.org/10.1007/s11263-006-0028-6) for the streaks, Li et al. 2019, Heavy Rain Image
    Restoration (https://arxiv.org/abs/1904.05050) for the veil.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        density: Factor on the number of streaks, at least 0.
        opacity: Factor on their opacity, at least 0.
        veil: Share of the light that far drops replace by air light, in [0, 1].
        generator: Source of wind and streaks.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    wind = generator.normal(0, 0.3)  # radians from the vertical
    streaks = np.zeros((height, width), np.float32)
    for length, half_width, starts, layer_opacity in RAIN_LAYERS:
        kernel = streak_kernel(length * generator.uniform(0.8, 1.2), half_width, angle=wind + generator.normal(0, 0.05))
        share = starts * density * 30.0 / length
        streaks += layer_opacity * np.minimum(scattered(kernel, height, width, share=share, generator=generator), 1.0)
    covered = np.minimum(streaks * opacity, 0.9)[..., None]
    air = np.float32(0.75)
    behind = to_linear(image) * (1 - veil) + 0.5 * air * veil  # a veil under a dark sky: half as bright as a streak
    return to_encoded(behind * (1 - covered) + air * covered)


def snow_parameters(severity: float) -> dict[str, float]:
    """Flakes become denser, the veil thicker."""
    return {"density": 0.1 + 1.2 * severity, "veil": 0.05 * severity}


def snow(image: np.ndarray, *, density: float, veil: float, generator: np.random.Generator) -> np.ndarray:
    """Flakes of four depths, drawn out along one direction, and a veil; after Liu et al. 2018, DesnowNet.

    https://arxiv.org/abs/1708.04512

    Args:
        image: (H, W, 3) float32 in [0, 1].
        density: Factor on the number of flakes, at least 0.
        veil: Share of the light that far flakes replace by air light, in [0, 1].
        generator: Source of direction and flakes.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    fall = generator.normal(0, 0.5)  # radians from the vertical
    through = np.ones((height, width), np.float32)
    for radius, opacity, share in SNOW_LAYERS:
        kernel = flake_kernel(radius, stretch=generator.uniform(1.0, 1.8), angle=fall)
        flakes = scattered(kernel, height, width, share=share * density, generator=generator)
        through *= 1 - opacity * np.clip(flakes, 0, 1)
    behind = to_linear(image) * (1 - veil) + 0.8 * veil
    through = through[..., None]
    return to_encoded(behind * through + 0.93 * (1 - through))


def haze_parameters(severity: float) -> dict[str, float]:
    """Optical depth at the scene's mean distance from 0.02 to 0.42."""
    return {"beta": 0.02 + 0.4 * severity}


def haze(image: np.ndarray, *, beta: float, generator: np.random.Generator) -> np.ndarray:
    """Scattering with transmission exp(-beta d) and a slightly coloured air light.

    The depth d is a stand-in: it rises towards the top of the picture, as on open ground, with smooth random relief,
    and has mean 1.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        beta: Optical depth at mean distance, at least 0.
        generator: Source of depth and air light.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    depth = depth_proxy(height, width, generator=generator)
    transmission = np.exp(-beta * depth)[..., None]
    air = (generator.uniform(0.7, 0.95) + generator.normal(0, 0.02, 3)).astype(np.float32)
    return to_encoded(to_linear(image) * transmission + air * (1 - transmission))


def depth_proxy(height: int, width: int, *, generator: np.random.Generator) -> np.ndarray:
    """A plausible depth map: (H, W) float32, positive, mean 1."""
    rise = generator.uniform(0.2, 0.9)
    upwards = np.linspace(1, 0, height, dtype=np.float32)[:, None]
    depth = 0.35 + rise * upwards + 0.5 * smooth_field(height, width, cells=3, generator=generator)
    return depth / depth.mean()


def smooth_field(height: int, width: int, *, cells: int, generator: np.random.Generator) -> np.ndarray:
    """Random hills, about `cells` along the longer side: (H, W) float32 in [0, 1]."""
    longer = max(height, width)
    coarse = generator.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    field = cv2.resize(coarse, (longer, longer), interpolation=cv2.INTER_CUBIC)[:height, :width]
    return (field - field.min()) / max(float(np.ptp(field)), 1e-6)


def scattered(
    kernel: np.ndarray, height: int, width: int, *, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Copies of a kernel at random places with random strength in [0.4, 1].

    Args:
        kernel: (K, K) float32, K odd.
        height: H in pixels.
        width: W in pixels.
        share: Expected copies a pixel.
        generator: Source of places and strengths.

    Returns:
        (H, W) float32, at least 0; copies that lie outside reach in.
    """
    margin = kernel.shape[0] // 2
    area = (height + 2 * margin, width + 2 * margin)
    count = generator.poisson(share * area[0] * area[1])
    points = np.zeros(area, np.float32)
    places = (generator.integers(area[0], size=count), generator.integers(area[1], size=count))
    points[places] = generator.uniform(0.4, 1.0, size=count)
    copies = cv2.filter2D(points, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    return copies[margin : margin + height, margin : margin + width]


def streak_kernel(length: float, half_width: float, *, angle: float) -> np.ndarray:
    """A line with a Gaussian profile and soft ends: (K, K) float32, peak 1; angle in radians from the vertical."""
    along, across = _rotated_grid(int(length / 2) + 3, angle)
    ends = np.clip((length / 2 - np.abs(along)) / 2 + 0.5, 0.0, 1.0)
    return (np.exp(-0.5 * (across / half_width) ** 2) * ends).astype(np.float32)


def flake_kernel(radius: float, *, stretch: float, angle: float) -> np.ndarray:
    """An ellipse with a soft edge: (K, K) float32, peak at most 1; angle of its long axis from the vertical."""
    along, across = _rotated_grid(int(radius * stretch) + 2, angle)
    return np.clip((radius + 0.7 - np.hypot(along / stretch, across)) / 1.4, 0.0, 1.0).astype(np.float32)


def _rotated_grid(reach: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across a direction, for a square of 2 reach + 1 pixels."""
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = columns * np.sin(angle) + rows * np.cos(angle)
    across = columns * np.cos(angle) - rows * np.sin(angle)
    return along, across
