"""Rotary positions: where a token lies, as an angle by which the pairs of its query and key are turned.

Su et al. 2021, RoFormer (https://arxiv.org/abs/2104.09864), over several axes as in FLUX (Black Forest Labs 2024): each
axis has a share of a head's width. Attention then depends on the distance of two tokens alone, so that any size works.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BASE = 10_000.0
"""theta: the slowest pair of an axis turns by about 1 / theta of a radian a step."""


def rotary_angles(positions: Tensor, axes_dims: Sequence[int]) -> Tensor:
    """Angles of tokens.

    Args:
        positions: (N, A), coordinates along the axes, in steps.
        axes_dims: Width of a head that each of the A axes has, even numbers.

    Returns:
        (N, D / 2), float32, D being the sum of `axes_dims`; computed in float64, as FLUX does.
    """
    angles = []
    for axis, dim in enumerate(axes_dims):
        frequencies = BASE ** (-torch.arange(0, dim, 2, dtype=torch.float64, device=positions.device) / dim)
        angles.append(positions[:, axis, None].double() * frequencies)
    return torch.cat(angles, dim=1).float()


def grid_positions(height: int, width: int, *, first: float, scale: float = 1.0) -> Tensor:
    """Coordinates of the tokens of a map, row by row.

    Args:
        height: Rows.
        width: Columns.
        first: Coordinate along the first axis, the same for all.
        scale: Factor of rows and columns; below 1 brings a larger map than the trained ones into their range.

    Returns:
        (height * width, 3): first, row, column.
    """
    rows, columns = torch.meshgrid(torch.arange(height) * scale, torch.arange(width) * scale, indexing="ij")
    return torch.stack([torch.full_like(rows, first, dtype=torch.float32), rows, columns], dim=-1).flatten(0, 1)


def rotated(tokens: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring pairs of values, (0, 1), (2, 3) and so on, by the angles.

    Args:
        tokens: (B, N, H, D), queries or keys of H heads.
        angles: (N, D / 2).

    Returns:
        (B, N, H, D) in the type of the tokens, computed in float32.
    """
    even, odd = tokens.float().unflatten(-1, (-1, 2)).unbind(-1)  # (B, N, H, D / 2) each
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2).to(tokens.dtype)
