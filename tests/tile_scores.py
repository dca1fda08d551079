"""How much of its tiles a restored picture shows: levels of blocks, and gradients across borders."""

from itertools import pairwise

import numpy as np

from ldrestore.structures import TilePlan
from ldrestore.tiling.planning import tile_spans


def share_beyond(tiled, whole, *, levels=2):
    """Share of the values (H, W, C), uint8, that differ by more than some levels."""
    return float((np.abs(tiled.astype(int) - whole.astype(int)) > levels).mean())


def block_difference(tiled, whole, *, side=32):
    """Largest difference of the means of blocks of two pictures (H, W, C), uint8, in levels."""
    height, width = (size // side * side for size in whole.shape[:2])
    difference = tiled[:height, :width].astype(float) - whole[:height, :width]
    blocks = difference.reshape(height // side, side, width // side, side, -1)
    return float(np.abs(blocks.mean(axis=(1, 3))).max())


def border_jump(tiled, whole, plan: TilePlan, *, side=32):
    """By how much levels jump across the tiles' borders that do not in the whole picture.

    Means of blocks on both sides of each border: a rectangle that is brighter than its neighbour shows, however softly
    one fades into the other, which gradients do not tell.

    Args:
        tiled: (H, W, C), uint8.
        whole: The same picture, restored at once.
        plan: Of the tiles.
        side: Of the blocks, which lie beyond what the tiles share.

    Returns:
        The largest difference of the two jumps, in levels; 0 without a border.
    """
    jumps = [0.0]
    for axis in (0, 1):
        spans = tile_spans(whole.shape[axis], plan)
        for before, after in pairwise(spans):
            if after.start < side or before.stop + side > whole.shape[axis]:
                continue
            sides = [slice(after.start - side, after.start), slice(before.stop, before.stop + side)]
            across = []
            for picture in (tiled, whole):
                turned = np.moveaxis(picture, axis, 0).astype(float)  # (across, along, C)
                length = turned.shape[1] // side * side
                blocks = [turned[part, :length].reshape(side, -1, side, turned.shape[2]) for part in sides]
                across.append(blocks[1].mean(axis=(0, 2)) - blocks[0].mean(axis=(0, 2)))
            jumps.append(float(np.abs(across[0] - across[1]).max()))
    return max(jumps)


def seam_score(image, plan: TilePlan):
    """Mean gradient across the tiles' borders relative to that elsewhere; 1 means that no seam shows."""
    values = image.astype(np.float64)
    at_seams, elsewhere = [], []
    for axis in (0, 1):
        spans = tile_spans(image.shape[axis], plan)
        gradients = np.abs(np.diff(values, axis=axis)).mean(axis=tuple(set(range(3)) - {axis}))  # one a line
        is_seam = np.zeros(image.shape[axis] - 1, bool)
        is_seam[[span.start - 1 for span in spans[1:]] + [span.stop - 1 for span in spans[:-1]]] = True
        at_seams.append(gradients[is_seam])
        elsewhere.append(gradients[~is_seam])
    assert np.concatenate(at_seams).size, "the plan has no border inside the picture"
    return float(np.concatenate(at_seams).mean() / max(np.concatenate(elsewhere).mean(), 1e-12))
