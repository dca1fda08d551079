"""Tiles of one picture, normalised alike.

Group normalisation and global pooling look at a whole map. Where each tile is normalised by itself, a tile of sky and a
tile of grass come out as if each were a picture of its own: far from what the whole would have given, and different on
both sides of a seam. So the statistics of all these layers are measured once, on a collage of small pieces from all
over the picture that is as large as one tile, and every tile is computed with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

PIECE = 4
"""Side of a piece of the collage in cells. Finer pieces represent the picture better, coarser ones have fewer edges."""


@contextmanager
def measured_statistics() -> Iterator[list[Tensor]]:
    """Within it, every group normalisation and global pooling leaves its statistics, in the order of the calls."""
    statistics: list[Tensor] = []
    with _Measuring(statistics):
        yield statistics


@contextmanager
def shared_statistics(statistics: Sequence[Tensor]) -> Iterator[None]:
    """Within it, the same calls in the same order use these statistics in place of their own. Not for training.

    Calls are told apart by their order, not by hooks, so that nothing is attached to a network, off-loaded or not.

    Args:
        statistics: What `measured_statistics` left, of pictures one at a time.
    """
    with _Sharing(statistics):
        yield


def spread_cells(size: int, length: int) -> Tensor:
    """Which cells of one axis a collage shows: pieces at equal distances, from the first cell to the last.

    Args:
        size: Cells of the axis.
        length: Cells of the collage, rounded down to whole pieces where the axis is longer.

    Returns:
        (length,), int64.
    """
    if size <= length:
        return torch.arange(size)
    starts = torch.linspace(0, size - PIECE, length // PIECE).round().long()
    return (starts[:, None] + torch.arange(PIECE)).flatten()


def normalise_groups(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float, *, moments: Tensor
) -> Tensor:
    """Group normalisation, Wu and He 2018 (https://arxiv.org/abs/1803.08494), with given moments, in float32.

    Args:
        x: (B, C, ...).
        num_groups: G.
        weight: (C,), or None for ones.
        bias: (C,), or None for zeros.
        eps: Added to the variance.
        moments: (2, B, G), variance and mean.

    Returns:
        Of x's shape and type.
    """
    variance, mean = moments.repeat_interleave(x.shape[1] // num_groups, dim=2)  # (B, C)
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight.float()
    shift = -mean * scale if bias is None else bias.float() - mean * scale
    axes = (..., *[None] * (x.ndim - 2))
    return torch.addcmul(shift[axes], x.float(), scale[axes]).to(x.dtype)


class _Measuring(TorchFunctionMode):
    """Notes statistics on the way."""

    def __init__(self, statistics: list[Tensor]) -> None:
        """Append to the list."""
        super().__init__()
        self.statistics = statistics

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function as it is."""
        result = function(*args, **(kwargs or {}))
        if function is F.group_norm:
            groups = args[0].unflatten(1, (args[1], -1)).flatten(2).float()  # (B, G, values)
            self.statistics.append(torch.stack(torch.var_mean(groups, dim=2, correction=0)))
        elif function is F.adaptive_avg_pool2d:
            self.statistics.append(result)
        return result


class _Sharing(TorchFunctionMode):
    """Puts statistics in the place of a tile's own."""

    def __init__(self, statistics: Sequence[Tensor]) -> None:
        """Start with the first."""
        super().__init__()
        self.remaining = iter(statistics)

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, or what stands in for it."""
        if function is F.group_norm:
            return normalise_groups(*args, **(kwargs or {}), moments=next(self.remaining))
        if function is F.adaptive_avg_pool2d:
            return next(self.remaining)
        return function(*args, **(kwargs or {}))
