"""Snow of every make: specks to blurred clumps, falling straight or driven, thick or thin, with or without a veil."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped
from ldrestore.degradations.wide.depth import hills, mixed

RADII = (0.5, 9.0)
"""Smallest and largest flake, in pixels; small ones are drawn more often."""


def snow_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def snow_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Flakes of several sizes in front of the picture, in code values or in light.

    After the sizes, transparencies and motions of Snow100K (Liu et al. 2018, https://arxiv.org/abs/1708.04512), with
    the veil of Chen et al. 2020 (JSTASR), and more of each.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]. Flakes hide 0.006 + 0.34 strength^1.4 of the picture on average.
        generator: Source of all else.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    cover = _flakes(image.shape, share=0.006 + 0.34 * strength**1.4, generator=generator)
    white = np.float32(generator.uniform(0.72, 1.0))
    tint = np.exp(generator.normal((-0.02, 0.0, 0.02), 0.015)).astype(np.float32)  # shade under the sky is blue
    flakes = np.minimum(white * tint, 1)
    if generator.random() < 0.45:
        share = np.float32(generator.uniform(0, 0.5) * strength)
        veil = 1 + np.float32(0.5) * (hills(*image.shape[:2], cells=2, generator=generator) - 0.5)
        image = mixed(image, np.float32(0.9) * flakes, 1 - share * veil)
    if generator.random() < 0.6:
        return clipped(mixed(image, flakes, 1 - cover))
    light = cv2.pow(clipped(image), 2.2)
    return cv2.pow(clipped(mixed(light, np.power(flakes, np.float32(2.2)), 1 - cover)), 1 / 2.2)


def _flakes(shape: tuple[int, ...], *, share: float, generator: np.random.Generator) -> np.ndarray:
    """How much of each pixel flakes hide: (H, W) float32 in [0, 1] with this mean, as far as it can be had."""
    height, width = shape[:2]
    fall, wildness = generator.normal(0, 0.5), generator.uniform(0.0, 0.5)
    through = np.ones((height, width), np.float32)
    parts = generator.dirichlet(np.full(int(generator.integers(1, 5)), 1.5))
    for part in parts:
        radius = RADII[0] * (RADII[1] / RADII[0]) ** (generator.random() ** 1.3)
        opacity = generator.uniform(0.35, 1.0)
        layer = flake_layer(
            height,
            width,
            radius=radius,
            motion=radius * generator.choice([0.0, generator.uniform(0, 1), generator.uniform(1, 8)]),
            angle=fall + generator.normal(0, wildness),
            share=min(0.6, part * share / opacity),
            softness=generator.uniform(0.15, 1.0),
            generator=generator,
        )
        through *= 1 - np.float32(opacity) * layer
    cover = 1 - through
    mean = float(cover.mean())
    return cover * np.float32(min(1.0, share / mean) if mean > 0 else 0.0)


def flake_layer(
    height: int,
    width: int,
    *,
    radius: float,
    motion: float,
    angle: float,
    share: float,
    softness: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Flakes of about one size.

    Args:
        height: H in pixels.
        width: W in pixels.
        radius: In pixels.
        motion: Length of the path during the exposure, in pixels.
        angle: Of the path, in radians from the vertical.
        share: Part of the picture that flakes lie over, about.
        softness: In (0, 1]: of the edges; 1 is out of focus.
        generator: Source of places, sizes and shapes.

    Returns:
        (H, W) float32 in [0, 1].
    """
    reach = int(2 * radius + motion) + 2
    tall, wide = height + 2 * reach, width + 2 * reach
    count = int(generator.poisson(share * tall * wide / (np.pi * radius**2 + 2 * radius * motion)))
    points = np.zeros((tall, wide), np.float32)
    places = (generator.integers(tall, size=count), generator.integers(wide, size=count))
    points[places] = generator.uniform(0.5, 1.6, size=count)  # brighter ones come out larger below
    sigma = max(0.3, radius * (0.35 + 0.35 * softness))
    drawn: np.ndarray = cv2.GaussianBlur(points, (0, 0), sigma) * np.float32(2 * np.pi * sigma**2)
    if radius > 2:
        ragged = cv2.GaussianBlur(generator.standard_normal((tall, wide), dtype=np.float32), (0, 0), radius / 3)
        drawn *= np.clip(1 + 0.35 * ragged / max(float(ragged.std()), 1e-6), 0, None)
    level, slope = 0.4 * (1 - softness), 1 + 4 * (1 - softness)
    drawn = np.clip((drawn - level) * slope, 0, 1)
    if motion >= 1:
        drawn = cv2.filter2D(drawn, -1, _path(motion, angle), borderType=cv2.BORDER_CONSTANT)
    return drawn[reach : reach + height, reach : reach + width]


def _path(length: float, angle: float) -> np.ndarray:
    """Kernel of a straight path, of sum 1."""
    side = 2 * (int(length / 2) + 1) + 1
    kernel = np.zeros((side, side), np.float32)
    middle = side / 2 - 0.5
    across, along = np.sin(angle) * length / 2, np.cos(angle) * length / 2
    start, end = (
        (round(16 * (middle + sign * across)), round(16 * (middle + sign * along))) for sign in (-1, 1)
    )  # in sixteenths of a pixel
    cv2.line(kernel, start, end, color=(1.0,), lineType=cv2.LINE_8, shift=4)
    return kernel / max(float(kernel.sum()), 1e-6)
