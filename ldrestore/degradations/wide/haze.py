"""Haze of every make: thin or blind, white, grey or coloured, composed in code values or in light."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped
from ldrestore.degradations.wide.depth import depth_along_edges, hills, mixed


def haze_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def haze_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Koschmieder's J t + A (1 - t) with all that the formula leaves open drawn at random.

    The composition happens in code values, as in RESIDE (Li et al. 2019, https://arxiv.org/abs/1712.04143), or in
    light, under a random curve; the air light A runs from 0.5 to 1.6, beyond white, and may be coloured and uneven; the
    depth follows the picture's edges; distant things may be slightly blurred, as by multiple scattering (Narasimhan and
    Nayar 2003, Shedding Light on the Weather).

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]. The mean share of air light is 0.02 + 0.95 strength^1.4; where light is added, which shows
            more, that to the power 1.5.
        generator: Source of all else.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    share = 0.02 + 0.95 * strength**1.4
    gamma = _composition_gamma(generator)
    transmission = _transmission(image, share=share ** (1.0 if gamma < 1.4 else 1.5), generator=generator)
    air = _air_light(image.shape, share=share, generator=generator)
    if generator.random() < 0.15:
        blurred = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.6, 2.5))
        image = mixed(image, blurred, transmission)
    if gamma == 1:
        return clipped(mixed(image, air, transmission))
    light, air = cv2.pow(image, gamma), np.power(air, np.float32(gamma))
    return cv2.pow(clipped(mixed(light, air, transmission)), 1 / gamma)


def _composition_gamma(generator: np.random.Generator) -> float:
    """Exponent from code values to what is mixed: 1 in code values, 2.2 in light, or between."""
    kind = generator.random()
    if kind < 0.6:
        return 1.0
    return 2.2 if kind < 0.85 else float(generator.uniform(1.1, 2.4))


def _transmission(image: np.ndarray, *, share: float, generator: np.random.Generator) -> np.ndarray:
    """exp(-beta d) with beta such that its mean is 1 - share: (H, W) float32."""
    if generator.random() < 0.1:
        return np.full(image.shape[:2], 1 - share, np.float32)
    nearest = 0.8 * generator.random() ** 2  # what is near is often nearly clear
    depth = nearest + (1 - nearest) * depth_along_edges(image, generator=generator) + 1e-3
    samples = depth[:: max(1, depth.shape[0] // 48), :: max(1, depth.shape[1] // 48)]
    beta = float(-np.log(1 - share) / samples.mean())
    for _ in range(6):  # Newton's steps; the mean is convex in beta, so they rise to the root
        through = np.exp(-beta * samples)
        beta += float((through.mean() - (1 - share)) / max(float((samples * through).mean()), 1e-4))
    return cv2.exp(-beta * depth)


def _air_light(shape: tuple[int, ...], *, share: float, generator: np.random.Generator) -> np.ndarray:
    """Colour of the air, (3,) or, where it is uneven, (H, W, 3) float32; thick haze does not glow beyond white."""
    kind, tint = generator.random(), generator.random()
    if kind < 0.45:
        level = generator.uniform(0.9, 1.05)
    elif kind < 0.65:
        level = generator.uniform(0.5, 0.95)
    else:
        level = 1 + 0.6 * generator.random() * (1 - share)
    deviation = 0.008 if tint < 0.6 else 0.04 if tint < 0.9 else 0.12
    air = (level * np.exp(generator.normal(0, deviation, 3))).astype(np.float32)
    if generator.random() < 0.25:
        glow = hills(*shape[:2], cells=int(generator.integers(1, 3)), generator=generator)
        glow = 1 + np.float32(generator.uniform(0.05, 0.4)) * (glow - 0.5)
        return cv2.merge([channel * glow for channel in air])
    return air
