"""Colours that no viewer shows, because they lie under full transparency: filled before anything looks at them."""

import math

import cv2
import numpy as np

from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.photo import Photo

MOST_INPAINTED = 2**18
"""Pixels that are inpainted at most, which is slow."""
MOST_BESIDE_HOLES = 2**21
"""Pixels, seen and hidden, of a picture or copy that is inpainted, at most: it is held several times."""
INPAINTING_RADIUS = 5
"""Pixels, in the copy that is inpainted."""

_MARGIN, _LEVELS = 2, 255


def fill_hidden(photo: Photo) -> Photo:
    """Give pixels under alpha 0 the colours of the visible ones near them, whatever was stored there.

    They are inpainted by Telea 2004, "An Image Inpainting Technique Based on the Fast Marching Method", which carries
    the colours of an edge far away from it: of what else is sensible, a network makes nearly the same of the visible
    part. Larger pictures are inpainted in smaller copies, as in push and pull, Gortler et al. 1996, "The Lumigraph",
    section 3.4: visible colours are averaged, and holes are filled from the next smaller copy, bilinearly.

    Args:
        photo: (H, W).

    Returns:
        The same picture, visible pixels to the bit; the photo itself where none or all are hidden.
    """
    if photo.alpha is None or photo.alpha.all() or not photo.alpha.any():
        return photo
    if _can_be_inpainted(photo.alpha > 0):
        filled = _inpainted(photo.pixels, photo.alpha == 0, white=photo.max_value)
        return photo.replace(pixels=filled, alpha=photo.alpha)
    coarse = _filled(*_half_size(photo.pixels, photo.alpha), white=photo.max_value)
    filled = photo.pixels.copy()
    height, width = photo.alpha.shape
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        hidden = photo.alpha[top:bottom] == 0
        if hidden.any():
            first, last = max(top // 2 - 1, 0), min(bottom // 2 + 2, len(coarse))
            near = _doubled(coarse[first:last])[top - 2 * first : bottom - 2 * first, :width][hidden]
            filled[top:bottom][hidden] = near if filled.dtype == np.float32 else np.rint(near)
    return photo.replace(pixels=filled, alpha=photo.alpha)


def restore_hidden(restored: np.ndarray, photo: Photo) -> None:
    """Put the stored colours under alpha 0 back, in place; nothing where the sizes differ or nothing is hidden.

    Args:
        restored: (h, w, C), changed.
        photo: Has the colours, C of them, and the alpha.
    """
    if photo.alpha is not None and restored.shape[:2] == photo.alpha.shape:
        for top in range(0, len(restored), BAND_ROWS):
            rows = slice(top, top + BAND_ROWS)
            hidden = photo.alpha[rows] == 0
            restored[rows][hidden] = photo.pixels[rows][hidden]


def _half_size(pixels: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of the visible colours of 2 x 2 pixels, (H', W', C) float32, and where there are any, (H', W', 1)."""
    parts = []
    for top in range(0, len(pixels), BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        is_visible = (alpha[rows, :, None] > 0).astype(np.float32)
        parts.append(_halved(pixels[rows].astype(np.float32), is_visible))
    return np.concatenate([colours for colours, _ in parts]), np.concatenate([weights for _, weights in parts])


def _can_be_inpainted(is_visible: np.ndarray) -> bool:
    """Whether the holes of a picture (H, W) are few enough."""
    num_hidden = is_visible.size - int(np.count_nonzero(is_visible))
    return is_visible.size <= MOST_BESIDE_HOLES and num_hidden <= MOST_INPAINTED


def _filled(colours: np.ndarray, weights: np.ndarray, *, white: float) -> np.ndarray:
    """Colours (h, w, C) float32, those of weight 0 inpainted, or from smaller copies; weights (h, w, 1) are 0 or 1."""
    if _can_be_inpainted(weights > 0):
        return _inpainted(colours, weights[..., 0] == 0, white=white)
    height, width = colours.shape[:2]
    smaller = _filled(*_halved(colours, weights), white=white)
    return np.where(weights > 0, colours, _doubled(smaller)[:height, :width])


def _inpainted(colours: np.ndarray, is_hidden: np.ndarray, *, white: float) -> np.ndarray:
    """Colours (h, w, C), those that are hidden (h, w) by Telea's method, in their own type.

    In 255 levels, for deeper pictures too: OpenCV adds half a level to each pixel, and those of 16 bits would be filled
    otherwise than the same picture of 8. The levels of dark pictures are finer by powers of two. With a margin, since
    OpenCV reads beside pictures of one row or column.
    """
    margin = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN))
    holes = np.pad(is_hidden.astype(np.uint8), margin, mode="edge")
    visible = np.where(is_hidden[..., None], colours.dtype.type(0), colours)  # OpenCV looks at what is in the holes
    step = white / _LEVELS * 2.0 ** min(0, math.frexp(float(visible.max()) / white)[1])
    channels = []
    for channel in np.moveaxis(visible, 2, 0):
        levels = np.pad(np.rint(channel / np.float32(step)).astype(np.uint8), margin, mode="edge")
        inpainted = cv2.inpaint(levels, holes, INPAINTING_RADIUS, cv2.INPAINT_TELEA)
        channels.append(inpainted[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])
    filled = np.stack(channels, axis=2) * np.float32(step)
    filled = filled if colours.dtype == np.float32 else np.rint(filled).astype(colours.dtype)
    return np.where(is_hidden[..., None], filled, colours)


def _halved(colours: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of 2 x 2 pixels, and 1 where any of them has a weight; odd sides are padded with weight 0."""
    edges = ((0, len(colours) % 2), (0, colours.shape[1] % 2), (0, 0))
    colours, weights = np.pad(colours * weights, edges), np.pad(weights, edges)
    sums = colours[::2] + colours[1::2]
    counts = weights[::2] + weights[1::2]
    sums, counts = sums[:, ::2] + sums[:, 1::2], counts[:, ::2] + counts[:, 1::2]
    return sums / np.maximum(counts, 1), (counts > 0).astype(np.float32)


def _doubled(colours: np.ndarray) -> np.ndarray:
    """(h, w, C) to (2 h, 2 w, C), bilinearly."""
    height, width, num_channels = colours.shape
    doubled = cv2.resize(colours, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    return doubled.reshape(2 * height, 2 * width, num_channels)
