"""A bilateral grid of affine colour transforms: one small array that says how a whole picture's light is changed.

Gharbi et al. 2017, Deep Bilateral Learning (https://arxiv.org/abs/1707.02880): the grid has two axes of place and one
of brightness; a pixel takes the transform that lies at its place and at its guide, and applies it to its colour. Haze,
darkness and colour casts are affine in the picture and smooth in place and brightness, so that a few thousand numbers
undo them, the same numbers for every part of the picture.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

NUM_COEFFICIENTS = 12
"""Of one transform: a 3 x 3 matrix, less the identity, row by row, each row followed by its offset."""

HALF = 2
"""Transforms are looked up at a half of the picture's sides, and interpolated between."""


def sliced(grid: Tensor, guide: Tensor, window: Tensor) -> Tensor:
    """The transform of each position, linear between the cells of the grid: Eq. 1 and 2 of Gharbi et al. 2017.

    Args:
        grid: (B, K, 12, h, w), K levels of brightness; the outermost cells go on beyond their centres.
        guide: (B, 1, H, W), in [0, 1].
        window: (B, 4), where these positions lie in the whole picture, see `places`.

    Returns:
        (B, 12, H, W).
    """
    num_levels = grid.shape[1]
    at = places(window, *guide.shape[-2:])  # (B, H, W, 2)
    level = guide * (num_levels - 1)
    coefficients = torch.zeros_like(guide)
    for index in range(num_levels):
        share = (1 - (level - index).abs()).clamp(min=0)  # (B, 1, H, W), the hat function
        plane = F.grid_sample(grid[:, index], at, padding_mode="border", align_corners=False)  # (B, 12, H, W)
        coefficients = torch.addcmul(coefficients, share, plane)
    return coefficients


def places(window: Tensor, height: int, width: int) -> Tensor:
    """Centres of the pixels of a window in the coordinates of the whole picture, as `grid_sample` takes them.

    Args:
        window: (B, 4): top, left, bottom and right as shares of the whole picture's height and width.
        height: Rows of the window.
        width: Its columns.

    Returns:
        (B, H, W, 2), x before y, from -1 at the left or upper border of the whole picture to 1 at the other.
    """
    top, left, bottom, right = window.unbind(dim=1)  # (B,) each
    rows = _centres(top, bottom, height)[:, :, None].expand(-1, -1, width)
    columns = _centres(left, right, width)[:, None, :].expand(-1, height, -1)
    return torch.stack([columns, rows], dim=-1) * 2 - 1


def transformed(lq: Tensor, coefficients: Tensor) -> Tensor:
    """Apply to each pixel its transform: c + M c + b.

    Args:
        lq: (B, 3, H, W).
        coefficients: (B, 12, H, W).

    Returns:
        (B, 3, H, W).
    """
    rows = coefficients.unflatten(1, (3, 4))  # (B, 3, 4, H, W)
    changed = rows[:, :, 3]
    for channel in range(3):
        changed = torch.addcmul(changed, rows[:, :, channel], lq[:, channel : channel + 1])
    return lq + changed


def _centres(first: Tensor, last: Tensor, number: int) -> Tensor:
    """(B, number) centres of equal cells between two limits, (B,) each."""
    steps = (torch.arange(number, device=first.device, dtype=first.dtype) + 0.5) / number
    return first[:, None] + (last - first)[:, None] * steps
