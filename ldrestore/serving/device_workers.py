"""One picture at a time on each device, with the models that were used last kept loaded."""

import queue
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ldrestore.errors import RunCancelledError
from ldrestore.jobs.request import RestoreRequest
from ldrestore.jobs.restoring import load_pipeline

MOST_LOADED = 2
"""Models that each device keeps."""
LOOK_SECONDS = 0.2
"""Between two looks at whether somebody who waits for a device still wants it."""


class DeviceWorker:
    """A device and the models that are loaded on it; used by one thread at a time."""

    def __init__(self, device: str) -> None:
        """Begin with no model.

        Args:
            device: As for `restorers.load_restorer`.
        """
        self.device = device
        self._pipelines: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def pipeline(self, request: RestoreRequest) -> Any:
        """The model of a request, loaded where it is not yet; the one that was used least lately goes for it.

        Raises:
            LDRestoreError: the model cannot be had.
        """
        key = (request.model, request.dtype)
        if key not in self._pipelines:
            while len(self._pipelines) >= MOST_LOADED:
                self._pipelines.popitem(last=False)
            self._pipelines[key] = load_pipeline(request)
        self._pipelines.move_to_end(key)
        return self._pipelines[key]


class DevicePool:
    """All devices; whoever has a picture waits until one is free."""

    def __init__(self, devices: Sequence[str]) -> None:
        """Begin with all of them free.

        Args:
            devices: At least one.
        """
        self.num_devices = len(devices)
        self._free: queue.Queue[DeviceWorker] = queue.Queue()
        for device in devices:
            self._free.put(DeviceWorker(device))

    @contextmanager
    def worker(self, is_cancelled: Callable[[], bool]) -> Iterator[DeviceWorker]:
        """A device of one's own until the end of the block.

        Args:
            is_cancelled: Asked now and then while waiting.

        Raises:
            RunCancelledError: it said yes.
        """
        while True:
            if is_cancelled():
                raise RunCancelledError("cancelled before it began")
            try:
                worker = self._free.get(timeout=LOOK_SECONDS)
                break
            except queue.Empty:
                continue
        try:
            yield worker
        finally:
            self._free.put(worker)
