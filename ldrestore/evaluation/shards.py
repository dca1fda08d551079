"""Processes that share a benchmark: `accelerate launch --num_processes N -m ldrestore bench ..`."""

import atexit
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from accelerate import PartialState

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """This process among those of a run."""

    index: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes what is written once."""
        return self.index == 0

    def of(self, items: Sequence[Item]) -> Iterator[Item]:
        """Its share of the items: every `count`-th."""
        return iter(items[self.index :: self.count])

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            PartialState().wait_for_everyone()


def current_shard(*, device: str) -> Shard:
    """The process among those that accelerate has launched; the only one otherwise.

    Args:
        device: Where models compute; processes on the CPU talk by gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return Shard()

    state = PartialState(cpu=device == "cpu")
    atexit.register(state.destroy_process_group)  # Python that ends beside gloo's threads is aborted
    return Shard(index=state.process_index, count=state.num_processes)
