"""Drops on a lens or window of every make: small beads to smeared pools, sharp or far out of focus."""

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped


def raindrop_wide_parameters(strength: float) -> dict[str, float]:
    """The severity is the strength."""
    return {"strength": strength}


def raindrop_wide(image: np.ndarray, *, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Drops that bend, blur and brighten what is behind them.

    The composition of Qian et al. 2018 (https://arxiv.org/abs/1711.10098), (1 - M) I + M R, in which R, a view of the
    surroundings, is drawn at random: upside down or not, near or far, blurred, brighter or darker; and M has rims from
    one pixel to half the drop, as the camera's focus has it.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        strength: In [0, 1]. Drops cover 0.01 + 0.3 strength^1.2 of the picture on average.
        generator: Source of all else.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    middle = generator.uniform(3.0, 7.0 + 14.0 * strength)
    rim = generator.uniform(0.05, 0.7)
    blurred = cv2.GaussianBlur(image, (0, 0), generator.uniform(1.0, 8.0))
    count = generator.poisson((0.01 + 0.3 * strength**1.2) * height * width / (1.6 * np.pi * middle**2))
    covered = image.copy()
    for _ in range(min(count, 400)):
        radius = float(np.clip(middle * np.exp(generator.normal(0, 0.45)), 1.5, 45))
        _draw_drop(covered, blurred, radius=radius, rim=rim, generator=generator)
    return clipped(covered)


def _draw_drop(
    canvas: np.ndarray, behind: np.ndarray, *, radius: float, rim: float, generator: np.random.Generator
) -> None:
    """Draw one drop somewhere onto the canvas in place: its radius in pixels, its rim as a share of that."""
    height, width = canvas.shape[:2]
    x, y = generator.uniform(0, width), generator.uniform(0, height)
    stretch, tilt = generator.uniform(1.0, 2.2) ** 0.7, generator.normal(0, 0.4)
    reach = int(2 * radius) + 2
    rows, columns = (
        slice(max(0, int(centre) - reach), min(side, int(centre) + reach + 1))
        for centre, side in ((y, height), (x, width))
    )
    down, right = np.mgrid[rows, columns].astype(np.float32)
    down, right = down - np.float32(y), right - np.float32(x)
    along = (down * np.float32(np.cos(tilt)) + right * np.float32(np.sin(tilt))) / np.float32(radius * stretch)
    across = (right * np.float32(np.cos(tilt)) - down * np.float32(np.sin(tilt))) / np.float32(radius)
    angle, waves = np.arctan2(along, across), generator.uniform(0, 2 * np.pi, size=3)
    depths = generator.uniform(0, (0.16, 0.12, 0.08))
    outline = 1 + sum(depths[k] * np.sin((k + 2) * angle + waves[k]) for k in range(3))
    distance = np.hypot(across, along) / outline  # 1 at the rim
    mask = np.clip((1 - distance) / max(rim, 1 / radius), 0, 1)[..., None] * np.float32(generator.uniform(0.5, 1.0))
    turn = generator.choice([-1.0, 1.0], p=[0.75, 0.25]) * generator.uniform(1.0, 6.0)  # upside down, mostly
    view = cv2.remap(
        behind,
        np.clip(np.float32(x) + right * np.float32(turn), 0, width - 1),
        np.clip(np.float32(y) + down * np.float32(turn), 0, height - 1),
        cv2.INTER_LINEAR,
    )
    light = np.float32(generator.uniform(0.7, 1.3)) - np.float32(generator.uniform(0, 0.4)) * distance**4
    if generator.random() < 0.5:
        spot = (across - generator.uniform(-0.4, 0.4)) ** 2 + (along + generator.uniform(0.0, 0.5)) ** 2
        light = light + np.float32(generator.uniform(0, 0.6)) * np.exp(-spot / np.float32(0.04))
    canvas[rows, columns] += mask * (np.clip(view * light[..., None], 0, 1) - canvas[rows, columns])
