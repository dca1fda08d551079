"""Too little light of every make: even, in the light of lamps, against the light; noise before or after denoising."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped
from ldrestore.degradations.wide.camera import (
    DISPLAY_GAMMA,
    Sensor,
    denoised,
    draw_denoiser,
    sensor_noise,
    stored,
)
from ldrestore.degradations.wide.depth import depth_along_edges, hills


def low_light_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def low_light_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Expose too short by 0.2 to 8 stops, evenly or not, through a camera: noise, denoising, tone curve, black, JPEG.

    Sensor noise as in Wei et al. 2020 (https://arxiv.org/abs/2003.12751).

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]. Where it is darkest, 0.2 + 7.8 strength stops are missing.
        generator: Source of all else.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    stops = 0.2 + 7.8 * strength
    spread = min(1.0, 0.1 + 3 * strength)  # a breath of darkness has hardly another tone or colour
    light = cv2.pow(image, DISPLAY_GAMMA * (1 + spread * generator.uniform(-0.12, 0.12)))
    exposure = _exposure(image, stops=stops, generator=generator)
    deviations = spread * np.array([0.06 if generator.random() < 0.7 else 0.25, 0.15])
    cast = np.exp(generator.normal(0, deviations[0], 3)) * 2.0 ** generator.normal(0, deviations[1])
    dark = cv2.multiply(light, cv2.merge([exposure * np.float32(gain) for gain in cast]))
    dark = np.minimum(dark, np.float32(1))
    curve = 1 / (DISPLAY_GAMMA * (1 + spread * generator.uniform(-0.15, 0.15)))
    toe = bool(generator.random() < 0.65)
    result = _encoded(dark, curve, toe=toe)
    if generator.random() < 0.85:
        result = _noisy(dark, result, curve=curve, toe=toe, generator=generator)
    if generator.random() < 0.3:
        black = np.float32(generator.uniform(0, 0.025))
        result = (result - black) / (1 - black)
    return stored(result, quality=int(generator.integers(60, 98))) if generator.random() < 0.4 else clipped(result)


def _encoded(light: np.ndarray, curve: float, *, toe: bool) -> np.ndarray:
    """Light in [0, 1] to code values by a power, or with the straight toe of sRGB, which keeps blacks black."""
    if not toe:
        return cv2.pow(light, curve)
    bent = cv2.pow(light, curve * DISPLAY_GAMMA / 2.4) * np.float32(1.055) - np.float32(0.055)
    return np.maximum(bent, np.minimum(light * np.float32(12.92), np.float32(0.04)))


def _noisy(
    dark: np.ndarray, encoded: np.ndarray, *, curve: float, toe: bool, generator: np.random.Generator
) -> np.ndarray:
    """A dark picture with the noise of its sensor, half of the time after denoising: (H, W, 3) float32."""
    sensor = Sensor(
        shot=10 ** generator.uniform(-5.3, -3.3),
        read=10 ** generator.uniform(-4.3, -2.9),
        gains=(generator.uniform(1.2, 2.4), 1.0, generator.uniform(1.2, 2.2)),
    )
    noise = sensor_noise(dark, sensor, is_whole=False, generator=generator)
    noisy = _encoded(clipped(dark + noise), curve, toe=toe)
    if generator.random() < 0.5:
        return noisy
    return cv2.add(encoded, denoised(noisy - encoded, encoded, draw_denoiser(generator)))


def _exposure(image: np.ndarray, *, stops: float, generator: np.random.Generator) -> np.ndarray:
    """Factor on the light, (H, W) float32, at least 2^-stops: even, in lamps, against the light, or falling off."""
    height, width = image.shape[:2]
    kind = generator.random()
    darkest = np.float32(2.0**-stops)
    if kind < 0.35:
        return np.full((height, width), darkest, np.float32)
    if kind < 0.55:
        return darkest * (
            1 + pools_of_light(height, width, reach=2.0 ** (stops * generator.uniform(0.3, 0.9)), generator=generator)
        )
    if kind < 0.9:  # against the light: some layers of the scene keep their light
        lit = depth_along_edges(image, generator=generator)
        edge = generator.uniform(0.3, 0.8)
        lit = np.clip((lit - np.float32(edge)) / np.float32(generator.uniform(0.1, 0.5)) + np.float32(0.5), 0, 1)
    else:
        lit = hills(height, width, cells=int(generator.integers(1, 3)), generator=generator)
    return cv2.exp((lit * np.float32(generator.uniform(0.5, 1.1)) - 1) * np.float32(stops * np.log(2)))


def pools_of_light(height: int, width: int, *, reach: float, generator: np.random.Generator) -> np.ndarray:
    """Pools of light, up to `reach` times what there is without them: (H, W) float32, at least 0."""
    shrink = max(1, max(height, width) // 64)
    rows, columns = np.mgrid[0 : -(-height // shrink), 0 : -(-width // shrink)].astype(np.float32)
    rows, columns = rows / max(1, rows.shape[0] - 1), columns / max(1, columns.shape[1] - 1)
    pools = np.zeros_like(rows)
    for _ in range(generator.integers(1, 6)):
        y, x, radius = generator.uniform(-0.1, 1.1), generator.uniform(-0.1, 1.1), generator.uniform(0.05, 0.5)
        distance = ((rows - y) ** 2 + (columns - x) ** 2) / radius**2
        pools += np.float32(generator.uniform(0.2, 1.0)) / (1 + distance) ** 2
    return cv2.resize(pools, (width, height), interpolation=cv2.INTER_LINEAR) * np.float32(reach)
