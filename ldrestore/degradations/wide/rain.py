"""Rain of every make: streaks in one to five directions, added to the picture or before it, dense, faint or soft."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped
from ldrestore.degradations.wide.depth import mixed

LENGTHS = (8.0, 60.0)
"""Shortest and longest streak, in pixels."""

WIDTHS = (0.2, 1.6)
"""Thinnest and thickest streak: standard deviation of its profile, in pixels, before it is turned into its direction,
which adds half a pixel. Thin ones are drawn more often; soft rain is twice as thick."""


def rain_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def rain_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Streaks that hide or are added, in code values or in light, with or without a veil.

    One form is that of Rain100H (Yang et al. 2017, https://arxiv.org/abs/1609.07769): purely additive in code values,
    colourless, several directions, most of them near the vertical.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]. Streaks add, or hide, 0.008 + 0.42 strength^1.4 on average.
        generator: Source of all else.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    kind = generator.random()
    is_soft = kind >= 0.82
    cover = _streaks(image.shape, share=0.008 + 0.42 * strength**1.4, is_soft=is_soft, generator=generator)
    tint = np.exp(generator.normal(0, 0.01 if generator.random() < 0.85 else 0.05, 3)).astype(np.float32)
    if generator.random() < (0.15 if kind < 0.5 else 0.6):
        image = _veiled(image, share=generator.uniform(0, 0.4) * strength, generator=generator)
    if kind < 0.5:
        return clipped(cv2.add(image, cv2.merge([cover * share for share in tint])))
    air = np.float32(1.0 if kind < 0.62 else generator.uniform(0.6, 1.0)) * tint  # white streaks: a "screen" blend
    if generator.random() < 0.5:
        return clipped(mixed(image, air, 1 - cover))
    light, air = cv2.pow(image, 2.2), np.power(air, np.float32(2.2))
    return cv2.pow(clipped(mixed(light, air, 1 - cover)), 1 / 2.2)


def _veiled(image: np.ndarray, *, share: float, generator: np.random.Generator) -> np.ndarray:
    """The mist of drops too far to see."""
    air = np.float32(generator.uniform(0.4, 0.95))
    return image * np.float32(1 - share) + air * np.float32(share)


def _streaks(shape: tuple[int, ...], *, share: float, is_soft: bool, generator: np.random.Generator) -> np.ndarray:
    """How much rain there is at each pixel: (H, W) float32 in [0, 1] with this mean, as far as it can be had."""
    height, width = shape[:2]
    opacity = generator.uniform(min(0.9, max(0.1, 1.25 * share)), min(0.95, 0.35 + 2.5 * share))
    depth = -np.log(1 - min(0.85, share / opacity))  # of streaks that lie over each other
    num_directions = int(generator.choice(5, p=(0.35, 0.25, 0.2, 0.12, 0.08))) + 1
    wind = generator.normal(0, 0.25) if generator.random() < 0.85 else generator.uniform(-np.pi / 2, np.pi / 2)
    spread = generator.uniform(0.02, 0.35)
    total = np.zeros((height, width), np.float32)
    parts = generator.dirichlet(np.full(num_directions, 2.0))
    for part in parts:
        sigma = (WIDTHS[0] + (WIDTHS[1] - WIDTHS[0]) * generator.random() ** 2.5) * (2 if is_soft else 1)
        length = generator.uniform(max(LENGTHS[0], 12 * sigma), LENGTHS[1])
        total += streak_layer(
            height,
            width,
            length=length,
            sigma=sigma,
            angle=wind + generator.normal(0, spread) * (num_directions > 1),
            depth=part * depth,
            generator=generator,
        )
    cover = 1 - cv2.exp(-total)
    mean = float(cover.mean())
    scale = min(0.98, share / mean) if mean > 0 else 0.0
    return np.float32(scale) * cover


def streak_layer(
    height: int,
    width: int,
    *,
    length: float,
    sigma: float,
    angle: float,
    depth: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Streaks of one direction and about one size, drawn upright on a larger canvas and turned.

    Args:
        height: H in pixels.
        width: W in pixels.
        length: Of a streak, in pixels; its ends are soft.
        sigma: Standard deviation of its profile, in pixels.
        angle: In radians from the vertical.
        depth: Mean of the result; where streaks cross, they add up.
        generator: Source of places and strengths.

    Returns:
        (H, W) float32, at least 0.
    """
    side = int(np.hypot(height, width)) + 3
    tall = side + int(length)
    peak = min(1.0, 1.5 / (sigma * np.sqrt(2 * np.pi)))  # of the blurred profile
    count = int(generator.poisson(depth * side * tall / (length * peak * sigma * np.sqrt(2 * np.pi))))
    points = np.zeros((tall, side), np.float32)
    strengths = generator.uniform(0.3, 1.7, size=count)
    places = (generator.integers(tall, size=count), generator.integers(side, size=count))
    points[places] = strengths
    body, end = max(1, round(length * 0.75)), max(1, round(length * 0.25))
    gain = peak * np.sqrt(2 * np.pi) * sigma * body
    drawn = cv2.blur(points, (1, body), borderType=cv2.BORDER_CONSTANT)
    drawn = cv2.blur(drawn, (1, end), borderType=cv2.BORDER_CONSTANT)
    drawn = cv2.GaussianBlur(drawn, (0, 0), sigmaX=sigma, sigmaY=0.5, borderType=cv2.BORDER_CONSTANT)
    turn = cv2.getRotationMatrix2D((side / 2, tall / 2), np.degrees(angle), 1.0)
    turn[:, 2] += np.array((width / 2 - side / 2, height / 2 - tall / 2))
    return cv2.warpAffine(drawn, turn, (width, height), flags=cv2.INTER_LINEAR) * np.float32(gain)
