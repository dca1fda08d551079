"""SIGTERM and SIGINT as a wish that the loop grants at the end of a step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from accelerate import Accelerator

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Context in which the first SIGTERM or SIGINT sets a flag, and the second acts as it would without."""

    def __init__(self) -> None:
        """Start without a wish."""
        self._requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Take over the signals; elsewhere than in the main thread, which alone gets them, nothing happens."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the signals back."""
        self._give_back()

    def agreed(self, accelerator: Accelerator) -> bool:
        """Whether any process was asked to stop; every process must call this at the same step."""
        if accelerator.num_processes == 1:
            return self._requested
        wishes = torch.tensor([int(self._requested)], device=accelerator.device)
        return bool(accelerator.reduce(wishes, reduction="sum").item())

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note the wish."""
        self._requested = True
        self._give_back()

    def _give_back(self) -> None:
        """Restore the handlers that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
