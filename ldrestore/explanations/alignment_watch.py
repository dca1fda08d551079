"""Where DAFF looks: how much of a picture's latents attends to the damaged picture, and to which part of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.stream_blocks import StreamAttention


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """What the latents' tokens attend to at one step, the mean of all heads and blocks."""

    timestep: float
    """In training steps."""
    share: np.ndarray
    """(rows, columns) in [0, 1]: how much of each token's attention goes to the damaged picture; the rest goes to the
    latents themselves."""
    middle: np.ndarray
    """(rows, columns), which sum to 1: where in the damaged picture the token at the middle looks."""

    @property
    def at_place(self) -> float:
        """How much of what the middle token takes of the damaged picture lies within a token of its own place."""
        row, column = (side // 2 for side in self.middle.shape)
        near = self.middle[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        return float(near.sum())


@dataclass(slots=True)
class AlignmentWatch:
    """Keeps the attention of some timesteps; of several passes at one of them, the last one's."""

    timesteps: Sequence[float]
    _timestep: float = math.nan
    _grid: tuple[int, int] = (0, 0)
    _kept: dict[float, tuple[tuple[int, int], list[Tensor]]] = field(default_factory=dict)

    def begin(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """A hook before the fusion of a place: (hidden_states, timestep, prepared)."""
        _, timestep, prepared = inputs
        self._timestep, self._grid = float(timestep.reshape(-1)[0]), prepared.grid
        if self._timestep in self.timesteps:
            self._kept[self._timestep] = (self._grid, [])

    def look(self, query: Tensor, key: Tensor) -> None:
        """Keep one block's attention, the damaged picture's tokens coming first: (B, 2 N, heads, D) both."""
        if self._timestep not in self.timesteps:
            return
        num = query.shape[1] // 2
        rows = torch.zeros(2, num)
        for head in range(query.shape[2]):
            queries, keys = query[-1, num:, head].float(), key[-1, :, head].float()  # (N, D), (2 N, D)
            weights = (queries @ keys.T / math.sqrt(queries.shape[1])).softmax(dim=1)[:, :num]
            rows += torch.stack([weights.sum(dim=1), weights[self._middle(num)]]).cpu() / query.shape[2]
        self._kept[self._timestep][1].append(rows)

    def _middle(self, num: int) -> int:
        """Number of the token at the middle."""
        rows, columns = self._grid
        return min(num - 1, rows // 2 * columns + columns // 2)

    def alignments(self) -> tuple[Alignment, ...]:
        """What was kept, the noisiest step first."""
        found = []
        for timestep in self.timesteps:
            if timestep not in self._kept:
                continue
            grid, blocks = self._kept[timestep]
            share, middle = (row.reshape(grid).numpy() for row in torch.stack(blocks).mean(dim=0))
            found.append(Alignment(timestep=timestep, share=share, middle=middle / middle.sum()))
        return tuple(found)


class WatchedAttention:
    """Attention of a block that shows its queries and keys first."""

    def __init__(self, inner: Callable[..., Tensor], look: Callable[[Tensor, Tensor], None]) -> None:
        """Wrap a processor.

        Args:
            inner: Computes.
            look: Gets query and key.
        """
        self.inner, self.look = inner, look

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """As the processor within."""
        self.look(query, key)
        return self.inner(query, key, value)


@contextmanager
def watched_alignment(fusion: Any, timesteps: Sequence[float]) -> Iterator[AlignmentWatch]:
    """Watch the first place of DAFF while a picture is restored; another fusion has no tokens of its own to look at.

    Args:
        fusion: Left as it was found; anything but a DAFF shows nothing.
        timesteps: Those that are kept.
    """
    watch = AlignmentWatch(timesteps)
    with ExitStack() as stack:
        if isinstance(fusion, DAFF):
            place = fusion.fusion_at(fusion.places[0])
            stack.callback(place.register_forward_pre_hook(watch.begin).remove)
            for module in place.modules():
                if isinstance(module, StreamAttention):
                    stack.callback(setattr, module, "processor", module.processor)
                    setattr(module, "processor", WatchedAttention(module.processor, watch.look))  # noqa: B010  of another class
        yield watch
