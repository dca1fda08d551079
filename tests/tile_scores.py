"""How much of its tiles a restored picture shows: levels of blocks, and gradients across borders."""

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
