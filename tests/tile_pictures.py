"""Pictures in which a part says something else than the whole: dark, hazy, lit by one lamp, and the like."""

import numpy as np


def scene(height, width, *, seed=0):
    """Something to see at all scales: plates of different grey and colour, and grain: (H, W, 3) in [0.05, 0.95]."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    levels = np.full((height, width, 3), 0.5)
    for _ in range(60):
        size = np.exp(draw.uniform(np.log(8), np.log(max(height, width) / 3)))
        top, left = draw.uniform(0, height), draw.uniform(0, width)
        inside = np.hypot(rows - top, (columns - left) * draw.uniform(0.5, 2)) < size
        levels[inside] = draw.uniform(0.1, 0.9, 3) * 0.5 + draw.uniform(0.1, 0.9) * 0.5
    levels += 0.05 * np.sin((rows + 0.5 * columns) / 3.0)[..., None] * (levels - 0.5)
    return (levels + draw.normal(0, 0.015, levels.shape)).clip(0.05, 0.95)


def _lit(height, width, *, spread):
    """One lamp in the lower right: (H, W, 1) in [0, 1]."""
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot((rows / height - 0.55), (columns / width - 0.8))
    return np.exp(-((away / spread) ** 2))[..., None]


def dark(height, width):
    """Everything at a tenth of its light."""
    return 0.1 * scene(height, width)


def hazy(height, width):
    """Thicker from the bottom up, to nearly nothing but air."""
    thickness = np.linspace(0.95, 0.4, height)[:, None, None]
    return scene(height, width) * (1 - thickness) + 0.8 * thickness


def one_lamp(height, width):
    """As dark, but for what a lamp lights."""
    return scene(height, width) * (0.08 + 0.8 * _lit(height, width, spread=0.15))


def vignetted(height, width):
    """Dark corners."""
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows / height - 0.5, columns / width - 0.5)[..., None]
    return scene(height, width) / (1 + (2.2 * away) ** 4)


def half_dark(height, width):
    """The left half in the shade, the right one in the sun."""
    return scene(height, width) * np.where(np.arange(width) < width / 2, 0.08, 1.0)[:, None]


def smooth_sky(height, width):
    """A dark sky, graded from level 20 to 60, above a lit ground."""
    sky = np.linspace(20, 60, height)[:, None, None] / 255 * np.array([0.8, 0.95, 1.2])
    horizon = (np.arange(height) > 0.7 * height)[:, None, None]
    return np.where(horizon, 0.6 * scene(height, width), sky)


PICTURES = {
    "dark": dark,
    "hazy": hazy,
    "one lamp": one_lamp,
    "vignetted": vignetted,
    "half dark": half_dark,
    "smooth sky": smooth_sky,
}
"""Name to what makes (H, W, 3), float in [0, 1], of a height and a width."""


def picture_of(name, height, width):
    """(H, W, 3), uint8."""
    return np.rint(PICTURES[name](height, width).clip(0, 1) * 255).astype(np.uint8)
