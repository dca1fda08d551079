"""What some networks offer beside their forward pass."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class UsageNetwork(Protocol):
    """Tells which of its prompts or experts it uses; its record says `shows_usage`."""

    def usage(self, lq: Tensor, *conditions: Any, **named: Any) -> dict[str, Tensor]:
        """Name of the pool, block or place to (B, N), each in [0, 1], of (B, 3, H, W) and what else `forward` takes."""


@runtime_checkable
class ExpertMapNetwork(Protocol):
    """Shows where its experts change the picture; its record says `shows_expert_maps`."""

    def expert_maps(self, lq: Tensor, *conditions: Any, **named: Any) -> Tensor:
        """(B, N, H, W), absolute differences, of (B, 3, H, W) and what else `forward` takes."""


@runtime_checkable
class AdoptingNetwork(Protocol):
    """Begins from the weights of another architecture."""

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what fits, key to tensor."""
