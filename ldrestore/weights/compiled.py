"""Networks behind what `torch.compile` returns."""

from typing import TypeVar

from torch import nn

_M = TypeVar("_M", bound=nn.Module | None)


def uncompiled(network: _M) -> _M:
    """The network itself, where it is what `torch.compile` returned; otherwise the same."""
    inner: _M = getattr(network, "_orig_mod", network)
    return inner
