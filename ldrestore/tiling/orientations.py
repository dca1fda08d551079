"""The eight orientations of a picture, and the mean over them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Orientation(NamedTuple):
    """One of the ways in which a square lies upon itself."""

    turns: int
    """Quarter turns, as `torch.rot90` makes them over rows and columns."""
    is_flipped: bool
    """Whether left and right are exchanged after that."""


UPRIGHT = Orientation(0, False)
"""As the picture came."""

ORIENTATIONS = tuple(Orientation(turns, is_flipped) for turns in range(4) for is_flipped in (False, True))
"""All eight, the upright one first."""

NUM_ORIENTATIONS = len(ORIENTATIONS)


def mean_over_orientations(restore: Callable[[Tensor, Orientation], Tensor], lq: Tensor) -> Tensor:
    """Geometric self-ensemble, Lim et al. 2017, section 3.4 (https://arxiv.org/abs/1707.02921), in float32.

    Args:
        restore: (1, C, h, w), turned, and how it was turned, to the same shape, or to one as much larger each time.
        lq: (1, C, h, w), float32.

    Returns:
        The mean over the eight flips and quarter turns, each turned back.
    """
    total: Tensor | None = None
    for orientation in ORIENTATIONS:
        restored = _turned_back(restore(_turned(lq, orientation), orientation), orientation)
        total = torch.zeros(restored.shape, dtype=lq.dtype, device=lq.device) if total is None else total
        total += restored
        del restored  # no copy outlives its turn
    assert total is not None
    return total.div_(NUM_ORIENTATIONS)


def _turned(lq: Tensor, orientation: Orientation) -> Tensor:
    """(1, C, h, w) in an orientation."""
    turned = lq.rot90(orientation.turns, (2, 3))
    return (turned.flip(3) if orientation.is_flipped else turned).contiguous()


def _turned_back(restored: Tensor, orientation: Orientation) -> Tensor:
    """What `_turned` makes, upright again."""
    return (restored.flip(3) if orientation.is_flipped else restored).rot90(-orientation.turns, (2, 3))
