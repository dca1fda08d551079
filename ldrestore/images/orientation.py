"""Orientation: how stored pixels are turned, EXIF 2.32, table 6."""

import numpy as np

UPRIGHT_TAG = 1
TURNED = (5, 6, 7, 8)
"""Orientations in which height and width have changed places."""


def valid_orientation(orientation: object) -> int:
    """An orientation, 1 to 8; upright for anything else."""
    return int(orientation) if isinstance(orientation, int) and 1 <= orientation <= 8 else UPRIGHT_TAG


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a stored picture as its orientation says, EXIF 2.32, table 6.

    Args:
        stored: (H, W) or (H, W, C).
        orientation: 1 to 8.

    Returns:
        A view, upright; H and W change places for 5 to 8.
    """
    if orientation in TURNED:
        stored = np.swapaxes(stored, 0, 1)
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    return stored
