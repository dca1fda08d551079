"""Networks behind what `torch.compile` returns."""

from torch import nn


def uncompiled(network: nn.Module) -> nn.Module:
    """The network itself, where it is what `torch.compile` returned; otherwise the same."""
    return getattr(network, "_orig_mod", network)
