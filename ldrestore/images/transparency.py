"""Colours that no viewer shows, because they lie under full transparency: filled before anything looks at them."""

import cv2
import numpy as np

from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.photo import Photo

MOST_MIRRORED = 2**21
"""Blocks of a picture at most, for each of which what it mirrors is held; larger pictures have larger blocks."""


def fill_hidden(photo: Photo) -> Photo:
    """Give pixels under alpha 0 the colours of visible ones, mirrored at the nearest of them.

    What a network decides about a whole picture (its light, haze and noise) it then decides from what is seen: noise
    and texture go on in the hidden part. Smooth colours there would pass for fog, or for a picture without noise.

    Args:
        photo: (H, W).

    Returns:
        The same picture, visible pixels to the bit; the photo itself where none or all are hidden.
    """
    if photo.alpha is None or photo.alpha.all() or not photo.alpha.any():
        return photo
    side = _block_side(photo.alpha)
    sources, is_turned = _mirrored(_is_visible(photo.alpha, side))
    filled = photo.pixels.copy()
    last = np.array(photo.alpha.shape)[:, None] - 1
    for top in range(0, photo.height, BAND_ROWS):
        rows, columns = np.nonzero(photo.alpha[top : top + BAND_ROWS] == 0)
        rows += top
        blocks = rows // side, columns // side
        within = np.stack([rows % side, columns % side])
        within = np.where(is_turned[blocks], side - 1 - within, within)
        source = np.minimum(sources[:, *blocks] * side + within, last)
        filled[rows, columns] = photo.pixels[tuple(source)]
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


def _block_side(alpha: np.ndarray) -> int:
    """Pixels along a block: the fewest of a power of two for `MOST_MIRRORED`, if any block is wholly visible."""
    side = 1
    while alpha.size > MOST_MIRRORED * side**2:
        side *= 2
    while side > 1 and not _is_visible(alpha, side).any():
        side //= 2
    return side


def _is_visible(alpha: np.ndarray, side: int) -> np.ndarray:
    """(h, w): the blocks of which every pixel is visible; those that the edges cut count as hidden."""
    if side == 1:
        return alpha > 0
    height, width = (size // side for size in alpha.shape)
    blocks = np.zeros((-(-alpha.shape[0] // side), -(-alpha.shape[1] // side)), bool)
    for row in range(height):
        band = alpha[row * side : (row + 1) * side, : width * side] > 0
        blocks[row, :width] = band.reshape(side, width, side).all(axis=(0, 2))
    return blocks


def _mirrored(is_known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each place the one whose content it gets: a known one itself, another the one mirrored at the nearest.

    What has been filled is known from then on, so that a hole deeper than what lies around it gets that again and
    again, turned each time.

    Args:
        is_known: (h, w), at least one.

    Returns:
        (2, h, w) rows and columns of known places, and (h, w), whether the content is turned by half a circle.
    """
    is_known = is_known.copy()
    sources, is_turned = np.indices(is_known.shape, np.int32), np.zeros(is_known.shape, bool)
    size = np.array(is_known.shape)[:, None]
    while not is_known.all():
        places = np.stack(np.nonzero(~is_known))
        nearest = _nearest_known(is_known)[:, *places]
        mirror = 2 * nearest - places
        is_inside = ((mirror >= 0) & (mirror < size)).all(axis=0)
        mirror = np.where(is_inside, mirror, nearest)
        is_filled = is_inside & is_known[tuple(mirror)]
        is_beside = ~is_filled & (np.abs(nearest - places).max(axis=0) <= 1)
        mirror[:, is_beside] = nearest[:, is_beside]
        chosen = is_filled | is_beside
        to, of = tuple(places[:, chosen]), tuple(mirror[:, chosen])
        sources[:, *to] = sources[:, *of]
        is_turned[to] = is_turned[of] ^ is_filled[chosen]
        is_known[to] = True
    return sources, is_turned


def _nearest_known(is_known: np.ndarray) -> np.ndarray:
    """(2, h, w): row and column of the known place that is nearest to each, or nearly so."""
    _, labels = cv2.distanceTransformWithLabels(
        (~is_known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.zeros((2, int(labels.max()) + 1), np.int32)
    known = np.nonzero(is_known)
    places[:, labels[known]] = known
    return places[:, labels]
