"""Drops of water on the lens or a window in front of it."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped


def raindrop_parameters(severity: float) -> dict[str, float]:
    """Drops become more and larger: 2 to 30 on a square of 150 pixels, radius up to 9 to 23 pixels."""
    return {"density": 2.0 + 28.0 * severity, "max_radius": 9.0 + 14.0 * severity}


def raindrop(image: np.ndarray, *, density: float, max_radius: float, generator: np.random.Generator) -> np.ndarray:
    """Cover parts of the picture by drops, each a small lens that shows its surroundings upside down and out of focus.

    The composition (1 - M) I + M R of Qian et al. 2018, Attentive GAN for Raindrop Removal, Eq. 1
    (https://arxiv.org/abs/1711.10098), with the refraction R of a drop as a minified, inverted, blurred view; the
    rim is darker and a highlight sits towards the light.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        density: Expected drops on a square of 150 pixels, at least 0.
        max_radius: Largest radius in pixels, above 4.
        generator: Source of places, sizes and shapes.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    behind = cv2.GaussianBlur(image, (0, 0), 3)  # the camera focuses on the scene, not on the drop's view of it
    spattered = image.copy()
    for _ in range(generator.poisson(density * height * width / 150**2)):
        radius = generator.uniform(4.0, max_radius)
        centre = (generator.uniform(0, width), generator.uniform(0, height))
        _draw_drop(spattered, behind, radius=radius, centre=centre, generator=generator)
    return clipped(spattered)


def _draw_drop(
    canvas: np.ndarray,
    behind: np.ndarray,
    *,
    radius: float,
    centre: tuple[float, float],
    generator: np.random.Generator,
) -> None:
    """Draw one drop onto the canvas in place, as seen through it: (x, y) of its centre and its radius in pixels."""
    x, y = centre
    stretch, magnification = generator.uniform(1.0, 1.3), generator.uniform(2.0, 4.0)
    waves = generator.uniform(0, 2 * np.pi, size=2)
    window = _window(canvas, x, y, reach=int(1.5 * radius) + 3)
    rows, columns = np.mgrid[window].astype(np.float32)
    across, along = (columns - x) / radius, (rows - y) / (radius * stretch)
    angle = np.arctan2(along, across)
    outline = 1 + 0.08 * np.sin(2 * angle + waves[0]) + 0.05 * np.sin(3 * angle + waves[1])
    distance = np.hypot(across, along) / outline  # 1 at the rim
    mask = np.clip((1 - distance) * radius / 2, 0.0, 1.0)[..., None]
    map_x = np.clip(x - (columns - x) * magnification, 0, canvas.shape[1] - 1)
    map_y = np.clip(y - (rows - y) * magnification, 0, canvas.shape[0] - 1)
    view = cv2.remap(behind, map_x, map_y, cv2.INTER_LINEAR)
    rim = 0.35 * np.clip(distance, 0.0, 1.0) ** 4
    highlight = 0.25 * np.exp(-((across + 0.35) ** 2 + (along + 0.4) ** 2) / 0.03)
    shaded = np.clip(view * (1 - rim + highlight)[..., None], 0.0, 1.0)
    canvas[window] = canvas[window] * (1 - mask) + shaded * mask


def _window(canvas: np.ndarray, x: float, y: float, *, reach: int) -> tuple[slice, slice]:
    """Rows and columns within reach of a point inside the canvas; never empty."""
    height, width = canvas.shape[:2]
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    return slice(top, min(height, int(y) + reach + 1)), slice(left, min(width, int(x) + reach + 1))
