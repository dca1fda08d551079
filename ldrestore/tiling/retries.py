"""Smaller tiles where memory ran out."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ldrestore.errors import OutOfMemoryError
from ldrestore.structures import TilePlan
from ldrestore.tiling.planning import DEFAULT_OVERLAP, step_down

logger = logging.getLogger(__name__)

Computed = TypeVar("Computed")

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def with_smaller_tiles(
    compute: Callable[[TilePlan], Computed],
    plan: TilePlan,
    *,
    height: int,
    width: int,
    overlap: int = DEFAULT_OVERLAP,
) -> tuple[Computed, TilePlan]:
    """Compute a stage with a plan, and again with smaller tiles where memory runs out.

    Args:
        compute: Starts anew at each call, and leaves nothing behind when it fails.
        plan: The tiles to begin with.
        height: Rows of the picture.
        width: Its columns.
        overlap: Pixels that neighbouring tiles should share.

    Returns:
        What `compute` gives, and the plan that it was given.

    Raises:
        OutOfMemoryError: even the smallest tiles need too much.
    """
    while True:
        try:
            return compute(plan), plan
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            plan = step_down(plan, height, width, overlap=overlap)
            logger.warning("memory ran out; going on with tiles of %d pixels", plan.tile)
        if torch.cuda.is_available():  # after the handler: its traceback holds the tensors of the failed pass
            torch.cuda.empty_cache()


def on_cpu_without_memory(compute: Callable[..., Computed], *tensors: Tensor) -> Computed:
    """Compute on whole tensors where they lie, and once more on the CPU where their device has no memory for it.

    Args:
        compute: Takes the tensors; starts anew at each call.
        tensors: All on one device.

    Raises:
        OutOfMemoryError: the CPU has none either.
    """
    try:
        return compute(*tensors)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if tensors[0].device.type == "cpu":
            raise OutOfMemoryError(
                "memory ran out after the last tile; free some, or take a smaller picture"
            ) from error
        logger.warning("memory ran out after the last tile; going on with the CPU")
    return compute(*(tensor.cpu() for tensor in tensors))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any device."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        text in str(error) for text in _OUT_OF_MEMORY
    )
