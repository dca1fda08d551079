"""Colours that no viewer shows, because they lie under full transparency: filled before anything looks at them."""

import cv2
import numpy as np

from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.photo import Photo

LEAST_HALVINGS = 2
"""How often a picture is halved before holes are inpainted, which is slow."""
LARGEST_INPAINTED = 1024
"""Longest side in pixels of what is inpainted."""
INPAINTING_RADIUS = 3
"""Pixels, in the copy that is inpainted."""

_MARGIN, _DEEP = 2, 65535


def fill_hidden(photo: Photo) -> Photo:
    """Give pixels under alpha 0 the colours of the visible ones near them, whatever was stored there.

    Push and pull, Gortler et al. 1996, "The Lumigraph", section 3.4: visible colours are averaged into ever smaller
    copies until no hole is left, and holes are filled from the next smaller copy, bilinearly. That leads smoothly from
    edge to edge. The copy of a quarter of the size, or less, is inpainted too, by Telea 2004, "An Image Inpainting
    Technique Based on the Fast Marching Method", which carries the colours of an edge far away from it. Holes take the
    mean of the two: what a network makes of the visible part is then close to what it makes of any sensible fill.

    Args:
        photo: (H, W).

    Returns:
        The same picture, visible pixels to the bit; the photo itself where none or all are hidden.
    """
    if photo.alpha is None or photo.alpha.all() or not photo.alpha.any():
        return photo
    coarse = _filled(*_half_size(photo.pixels, photo.alpha), white=photo.max_value, num_halvings=1)
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


def _filled(colours: np.ndarray, weights: np.ndarray, *, white: float, num_halvings: int | None) -> np.ndarray:
    """Colours (h, w, C), those of weight 0 from smaller copies and inpainting; weights (h, w, 1) are 0 or 1.

    `num_halvings` counts up to where a copy is inpainted; None below that.
    """
    if weights.all():
        return colours
    height, width = colours.shape[:2]
    is_inpainted = num_halvings is not None and num_halvings >= LEAST_HALVINGS
    is_inpainted = is_inpainted and max(height, width) <= LARGEST_INPAINTED
    deeper = None if num_halvings is None or is_inpainted else num_halvings + 1
    smaller = _filled(*_halved(colours, weights), white=white, num_halvings=deeper)
    near = _doubled(smaller)[:height, :width]
    if is_inpainted:
        near = (near + _inpainted(colours, weights, white=white)) / 2
    return np.where(weights > 0, colours, near)


def _inpainted(colours: np.ndarray, weights: np.ndarray, *, white: float) -> np.ndarray:
    """Colours (h, w, C), those of weight 0 by Telea's method.

    In 16 bits, since OpenCV adds half a step to each pixel, of floats too; with a margin, since it reads beside
    pictures of one row or column.
    """
    margin = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN))
    holes = np.pad((weights[..., 0] == 0).astype(np.uint8), margin, mode="edge")
    channels = [
        cv2.inpaint(np.pad(channel, margin, mode="edge"), holes, INPAINTING_RADIUS, cv2.INPAINT_TELEA)
        for channel in np.moveaxis(np.rint(colours * (_DEEP / white)).astype(np.uint16), 2, 0)
    ]
    inner = slice(_MARGIN, -_MARGIN)
    return np.stack(channels, axis=2)[inner, inner].astype(np.float32) * np.float32(white / _DEEP)


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
