"""What a CLIP tower is shown of a picture: the whole, squashed, and crops at the picture's own scale."""

import torch
from torch import Tensor
from torch.nn import functional as F

NATIVE_CROP = 512
"""Pixels; side of a crop that is shown at 224 pixels."""

CROPS_PER_SIDE = 2
"""Rows and columns of crops."""


def squashed_view(lq: Tensor, size: int) -> Tensor:
    """The whole picture as a square, bicubic with a low-pass filter where it shrinks, as PIL and torchvision do it.

    Args:
        lq: (B, 3, H, W), in [0, 1].
        size: Side of the square.

    Returns:
        (B, 3, size, size), in [0, 1], float32.
    """
    lq = lq.float()
    if lq.shape[-2:] == (size, size):
        return lq
    return F.interpolate(lq, (size, size), mode="bicubic", antialias=True).clamp(0, 1)


def native_views(lq: Tensor, size: int, *, crop_size: int = NATIVE_CROP) -> Tensor:
    """The whole picture, squashed, and crops of it: noise and small spots, which squashing removes, are left in those.

    Crops are squares of `crop_size`, or of the shorter side where that is smaller, in the middle of each cell of a
    2 × 2 grid. Crops that show the same are taken once: a square picture of one crop has one view.

    Args:
        lq: (B, 3, H, W), in [0, 1].
        size: Side of a view.
        crop_size: Side of a crop in pixels of the picture.

    Returns:
        (B, K, 3, size, size), in [0, 1], float32; the whole first.
    """
    height, width = lq.shape[-2:]
    side = min(crop_size, height, width)
    views = [squashed_view(lq, size)]
    if (height, width) != (side, side):
        views += [
            squashed_view(lq[..., top : top + side, left : left + side], size)
            for top in _offsets(height, side)
            for left in _offsets(width, side)
        ]
    return torch.stack(views, dim=1)  # (B, K, 3, size, size)


def _offsets(length: int, side: int) -> list[int]:
    """Where crops begin along one axis, each once."""
    centers = ((2 * cell + 1) * length // (2 * CROPS_PER_SIDE) for cell in range(CROPS_PER_SIDE))
    return sorted({min(max(center - side // 2, 0), length - side) for center in centers})
