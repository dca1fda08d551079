"""Depth for pictures that have none: made from what the picture shows, so that it changes at the picture's edges."""

from collections.abc import Callable

import cv2
import numpy as np

COARSE_SIDE = 64
"""Longer side in pixels on which depth is made; the picture's edges come in when it is enlarged."""


def depth_along_edges(image: np.ndarray, *, generator: np.random.Generator) -> np.ndarray:
    """A depth map that follows the picture: one to three stand-ins for depth mixed, then fitted to the edges.

    The fit is the fast guided filter of He and Sun 2015 (https://arxiv.org/abs/1505.00996), with grey as the guide.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        generator: Source of the stand-ins, their shares and their shapes.

    Returns:
        (H, W) float32 in [0, 1], 0 is near.
    """
    height, width = image.shape[:2]
    shrink = min(1.0, COARSE_SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    coarse = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    chosen = generator.choice(len(STAND_INS), size=generator.integers(1, 4), replace=False)
    shares = generator.dirichlet(np.ones(len(chosen)))
    depth = np.zeros(coarse.shape[:2], np.float32)
    for index, share in zip(chosen, shares, strict=True):
        depth += np.float32(share) * stretched(STAND_INS[index](coarse, generator))
    depth = guided(stretched(depth), coarse, image, radius=int(generator.integers(1, 5)), epsilon=2e-3)
    samples = depth[:: max(1, height // COARSE_SIDE), :: max(1, width // COARSE_SIDE)]
    near, far = np.quantile(samples, [0.02, 0.98])  # the fit draws the field together
    return np.clip((depth - near) / max(far - near, 1e-3), 0.0, 1.0).astype(np.float32, copy=False)


def guided(field: np.ndarray, coarse: np.ndarray, image: np.ndarray, *, radius: int, epsilon: float) -> np.ndarray:
    """A coarse field enlarged so that it changes where the picture does.

    Args:
        field: (h, w) float32.
        coarse: (h, w, 3) float32, the picture at the field's size.
        image: (H, W, 3) float32, the picture.
        radius: Of the windows on the coarse grid, in its pixels.
        epsilon: Variance of grey from which an edge counts.

    Returns:
        (H, W) float32.
    """

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    grey = coarse.mean(axis=2)
    mean_grey, mean_field = mean(grey), mean(field)
    variance = np.maximum(mean(grey * grey) - mean_grey**2, 0.0)
    slope = (mean(grey * field) - mean_grey * mean_field) / (variance + np.float32(epsilon))
    offset = mean_field - slope * mean_grey
    lines = np.stack([mean(slope), mean(offset)], axis=-1)
    lines = cv2.resize(lines, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return lines[..., 0] * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) + lines[..., 1]


def mixed(image: np.ndarray, air: np.ndarray, through: np.ndarray) -> np.ndarray:
    """Light through a medium, J t + A (1 - t), plane by plane: NumPy is slow at rows of three values.

    Args:
        image: (H, W, 3) float32, J.
        air: (3,) or (H, W, 3) float32, A.
        through: (H, W) float32, t.

    Returns:
        (H, W, 3) float32, not clipped.
    """
    lost = 1 - through
    planes = [(air[index] if air.ndim == 1 else air[..., index]) * lost for index in range(3)]
    return cv2.add(cv2.multiply(image, cv2.merge([through] * 3)), cv2.merge(planes))


def stretched(field: np.ndarray) -> np.ndarray:
    """A field moved and scaled to [0, 1]; a flat one becomes 0."""
    low, high = float(field.min()), float(field.max())
    return ((field - low) / max(high - low, 1e-6)).astype(np.float32)


def hills(height: int, width: int, *, cells: int, generator: np.random.Generator) -> np.ndarray:
    """Smooth random relief with about `cells` hills a side: (H, W) float32 in [0, 1]."""
    knots = generator.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    return stretched(cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC))


def _coordinates(coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (h, 1) and columns (1, w), each in [0, 1]."""
    height, width = coarse.shape[:2]
    return np.linspace(0, 1, height, dtype=np.float32)[:, None], np.linspace(0, 1, width, dtype=np.float32)[None]


def _ground(coarse: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Level ground under a horizon, behind which all is far: distance is one over the height below the horizon."""
    rows, columns = _coordinates(coarse)
    rows = 1 - rows if generator.random() < 0.1 else rows  # a ceiling
    below = rows + generator.normal(0, 0.15) * (columns - 0.5) - generator.uniform(-0.3, 0.6)
    near = generator.uniform(0.05, 0.3)
    return near / (near + np.maximum(below, 0.0))


def _room(coarse: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One to four planes, each hidden by the next nearer one: a slope, a corner, a corridor."""
    rows, columns = _coordinates(coarse)
    depth = np.full(coarse.shape[:2], generator.uniform(0.5, 1.5), np.float32)
    for _ in range(generator.integers(1, 5)):
        angle, place = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 1.0)
        depth = np.minimum(depth, place + np.cos(angle) * (columns - 0.5) + np.sin(angle) * (rows - 0.5))
    return depth


def _layers(coarse: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Segments of like colour and place, each at a depth of its own: objects before objects."""
    rows, columns = _coordinates(coarse)
    colours = cv2.GaussianBlur(coarse, (0, 0), 1.0) @ generator.normal(0, 1.5, 3).astype(np.float32)
    places = generator.normal(0, 0.7) * rows + generator.normal(0, 0.7) * columns
    relief = 0.7 * hills(*coarse.shape[:2], cells=4, generator=generator)
    levels = int(generator.integers(2, 7))
    segments = np.minimum((stretched(colours + places + relief) * levels).astype(np.intp), levels - 1)
    return generator.random(levels, dtype=np.float32)[segments]


def _luminance(coarse: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Bright is far, as skies and windows are, or dark is, as what no lamp reaches."""
    grey = cv2.GaussianBlur(coarse.mean(axis=2), (0, 0), generator.uniform(0.6, 4.0))
    return -grey if generator.random() < 0.5 else grey


def _dark_channel(coarse: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The dark channel of the picture itself, He et al. 2009: colourless brightness is far."""
    side = int(generator.integers(2, 8))
    darkest = cv2.erode(coarse.min(axis=2), np.ones((side, side), np.uint8))
    return cv2.blur(darkest, (side, side))


def _relief(coarse: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Smooth hills that ignore the picture: patches of fog."""
    return hills(*coarse.shape[:2], cells=int(generator.integers(1, 5)), generator=generator)


STAND_INS: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    _ground,
    _room,
    _layers,
    _luminance,
    _dark_channel,
    _relief,
)
"""What may stand for depth; each takes the coarse picture (h, w, 3) and gives (h, w), larger is farther."""
