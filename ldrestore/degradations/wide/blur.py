"""Blurs of every make: along wandering paths, of what moves by itself, out of focus with depth, with bright lights."""

from typing import TypedDict

import cv2
import numpy as np

from ldrestore.degradations.blur import path_kernel
from ldrestore.degradations.transfer import clipped
from ldrestore.degradations.wide.depth import depth_along_edges


def motion_blur_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def motion_blur_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Blur along a path, of the whole picture or of a part that moves by itself, with lights brighter than white.

    The path wanders with inertia and jerks, as those of Boracchi and Foi 2012, Modeling the Performance of Image
    Restoration From Motion Blur (https://doi.org/10.1109/TIP.2012.2192126), or runs straight.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]. The path is about 1 + 42 strength^1.2 pixels long.
        generator: Source of all else.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    length = 1 + 42 * strength**1.2
    gamma = generator.uniform(1.0, 2.4) if generator.random() < 0.5 else 2.2
    light = _with_lights(cv2.pow(image, gamma), generator)
    kernel = wandering_kernel(length * generator.uniform(0.75, 1.25), generator=generator)
    if generator.random() < 0.2:
        front = _front(image, generator)
        other = wandering_kernel(1 + length * generator.uniform(0.0, 0.6), generator=generator)
        moved = cv2.merge([cv2.multiply(light, cv2.merge([front] * 3)), front])
        moved, ground = _filtered(moved, kernel), _filtered(light, other)
        light = cv2.multiply(ground, cv2.merge([1 - moved[..., 3]] * 3)) + moved[..., :3]
    else:
        light = _filtered(light, kernel)
    return cv2.pow(clipped(light), 1 / gamma)


def wandering_kernel(length: float, *, generator: np.random.Generator) -> np.ndarray:
    """Weights of a random path of this length, centred: (K, K) float32 with K odd, sum 1.

    Args:
        length: Of the path in pixels, above 0.
        generator: Source of direction, bends, jerks and pauses.
    """
    count = max(32, int(6 * length))
    kind = generator.random()
    bend = 0.0 if kind < 0.15 else generator.normal(0, 1.2)  # radians over the whole path
    jitter = 0.0 if kind < 0.5 else generator.uniform(0.5, 4.0) / np.sqrt(count)
    headings = generator.uniform(0, 2 * np.pi) + bend * np.linspace(-0.5, 0.5, count)
    headings += np.cumsum(generator.normal(0, 1, count)) * jitter
    if kind > 0.8:  # a jerk: the hand changes its mind
        headings[int(generator.integers(count)) :] += generator.uniform(-np.pi, np.pi)
    pace = np.exp(np.interp(np.linspace(0, 3, count), np.arange(4), generator.normal(0, 0.5, 4)))
    pace *= length / pace.sum()
    x, y = np.cumsum(pace * np.cos(headings)), np.cumsum(pace * np.sin(headings))
    return path_kernel(x - x.mean(), y - y.mean())


def defocus_blur_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def defocus_blur_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Out of focus through a round or a bladed aperture, everywhere alike or by depth, with lights brighter than white.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]. The largest circle has a radius of about 0.3 + 11 strength^1.2 pixels.
        generator: Source of all else.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    radius = (0.3 + 11 * strength**1.2) * generator.uniform(0.85, 1.15)
    gamma = generator.uniform(1.0, 2.4) if generator.random() < 0.5 else 2.2
    light = _with_lights(cv2.pow(image, gamma), generator)
    shape = _draw_aperture(generator)
    wide = _filtered(light, aperture_kernel(radius, **shape))
    if generator.random() < 0.4:
        depth = depth_along_edges(image, generator=generator)
        blur = np.abs(depth - np.float32(generator.choice((0.0, 1.0, generator.random()))))  # 0 where it is sharp
        blur = np.minimum(blur * np.float32(generator.uniform(1.2, 2.5)), np.float32(1))
        half = _filtered(light, aperture_kernel(0.5 * radius, **shape))
        near = np.clip(2 * blur, 0, 1)
        far = np.clip(2 * blur - 1, 0, 1)
        wide = _blended(_blended(light, half, near), wide, far)
    return cv2.pow(clipped(wide), 1 / gamma)


def aperture_kernel(radius: float, *, blades: int, turn: float, rim: float) -> np.ndarray:
    """The image of a point through an aperture: (K, K) float32 with K odd, sum 1, with a soft edge one pixel wide.

    Args:
        radius: Of the circle around the aperture's image, in pixels, at least 0.
        blades: Corners of the aperture; 0 for a disc.
        turn: Of the corners, in radians.
        rim: How much brighter than the centre the edge is, at least -1; spherical aberration makes it so.
    """
    reach = int(np.ceil(radius)) + 1
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(rows, columns)
    outline: float | np.ndarray = radius
    if blades:
        sector = 2 * np.pi / blades
        angle = np.mod(np.arctan2(rows, columns) + turn, sector) - sector / 2
        outline = radius * np.cos(sector / 2) / np.cos(angle)
    kernel = np.clip(outline + 0.5 - distance, 0.0, 1.0) * (1 + rim * (distance / max(radius, 0.5)) ** 2)
    return (kernel / kernel.sum()).astype(np.float32)


class _Aperture(TypedDict):
    """Parameters of `aperture_kernel` beside the radius."""

    blades: int
    turn: float
    rim: float


def _draw_aperture(generator: np.random.Generator) -> _Aperture:
    """An aperture of either kind."""
    blades = 0 if generator.random() < 0.5 else int(generator.integers(5, 10))
    return {
        "blades": blades,
        "turn": generator.uniform(0, 2 * np.pi),
        "rim": generator.uniform(-0.9, 1.5) if generator.random() < 0.5 else 0.0,
    }


def _with_lights(light: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Linear light with what is nearly white as bright as it may have been: it spreads further than white does."""
    if generator.random() < 0.6:
        return light
    threshold, gain = np.float32(generator.uniform(0.85, 0.95)), np.float32(generator.uniform(1.0, 12.0))
    least = cv2.min(cv2.min(light[..., 0], light[..., 1]), light[..., 2])
    above = np.maximum(least - threshold, 0) / (1 - threshold)
    return cv2.multiply(light, cv2.merge([1 + gain * above] * 3)) if above.any() else light


def _front(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """What moves by itself: (H, W) float32 in [0, 1], along the picture's edges."""
    depth = depth_along_edges(image, generator=generator)
    edge = np.quantile(depth[::4, ::4], generator.uniform(0.3, 0.7))
    return np.clip((np.float32(edge) - depth) * 8 + np.float32(0.5), 0, 1)


def _blended(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(1 - share) of the first and share of the second picture: (H, W, 3); the share is (H, W)."""
    return first + cv2.multiply(second - first, cv2.merge([share] * 3))


def _filtered(light: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlation with a kernel, borders reflected."""
    return cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT)
