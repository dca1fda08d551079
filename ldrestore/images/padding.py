"""Reflection padding to a multiple, for pictures of any size, and the crop back."""

import torch
from torch import Tensor

from ldrestore.errors import InputError


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad at the right and bottom by reflection, as `numpy.pad(mode="reflect")` does: again and again where needed.

    Args:
        x: (B, C, H, W).
        multiple: Height and width become multiples of this, at least 1.

    Returns:
        (B, C, H', W') with H' - H and W' - W below `multiple`; x itself where nothing is missing.

    Raises:
        InputError: the multiple is not positive.
    """
    if multiple < 1:
        raise InputError(f"multiple must be at least 1, got {multiple}")
    for axis in (-2, -1):
        size = x.shape[axis]
        padded_size = size + -size % multiple
        if padded_size != size:
            x = x.index_select(axis, reflected_indices(size, padded_size).to(x.device))
    return x


def crop_to(x: Tensor, height: int, width: int) -> Tensor:
    """The top left part of (B, C, H, W), a view: what `pad_to_multiple` started from."""
    return x[..., :height, :width]


def reflected_indices(size: int, padded_size: int) -> Tensor:
    """Which source index each padded one shows: 0 1 2 1 0 1 ... for size 3; all 0 for size 1."""
    period = max(1, 2 * (size - 1))
    position = torch.arange(padded_size) % period
    return torch.minimum(position, period - position) if size > 1 else torch.zeros_like(position)
