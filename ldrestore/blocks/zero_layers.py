"""Layers that start at zero, so that what they end changes nothing before it is trained."""

from torch import nn


def start_at_zero(*layers: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    """Set weights, and biases where there are any, to zero."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
