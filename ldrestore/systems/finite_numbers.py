"""Numbers that overflow in half precision: seen, and computed once more in float32."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from ldrestore.errors import UndefinedNumbersError

logger = logging.getLogger(__name__)

_Computed = TypeVar("_Computed")

HALF_TYPES = (torch.float16, torch.bfloat16)


def check_finite(values: Tensor, *, of: str) -> Tensor:
    """The values themselves.

    Args:
        values: Any shape.
        of: What they are, for the message.

    Raises:
        UndefinedNumbersError: one is infinite or undefined.
    """
    if not values.isfinite().all():
        raise UndefinedNumbersError(f"{of} hold infinite or undefined numbers; the weights of the model are damaged")
    return values


def again_in_float32(compute: Callable[[], _Computed], networks: Sequence[nn.Module]) -> _Computed:
    """Compute; where half precision overflows, compute once more with weights widened for this one time.

    Args:
        compute: Starts anew at each call; checks its results with `check_finite`.
        networks: All that it uses. Their weights are as they were afterwards, to the bit.

    Raises:
        UndefinedNumbersError: there are such numbers in float32 too.
    """
    halves = [network for network in networks if any(weight.dtype in HALF_TYPES for weight in network.parameters())]
    try:
        return compute()
    except UndefinedNumbersError as error:
        if not halves:
            raise
        logger.warning("half precision overflowed (%s); computing again in float32", error)
    with in_float32(halves):
        return compute()


@contextmanager
def in_float32(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Weights in float32 inside; half precision, which is where they came from, loses nothing on the way back.

    Args:
        networks: Those whose weights are widened in place.
    """
    tensors = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    narrow = [(tensor, tensor.dtype) for tensor in tensors if tensor.dtype in HALF_TYPES]
    try:
        for tensor, _ in narrow:
            tensor.data = tensor.data.to(torch.float32)
        yield
    finally:
        for tensor, dtype in narrow:
            tensor.data = tensor.data.to(dtype)
