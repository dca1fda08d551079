"""The workers of a run on Ray, as its driver knows them: where each is, what it is at, and which are lost.

Ray gives the pictures of a dead worker to its successor alone. Where its machine is lost and no other takes its place,
there is no successor, and they would wait for ever: once nothing else is left to do, they are taken from it.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ldrestore.errors import LDRestoreError

WATCH_SECONDS = 5.0
"""Between two looks at the machines while no picture comes."""
LOST_SECONDS = 60.0
"""So long the pictures of lost workers wait for another machine, once nothing else is left to do."""
DESERTED_SECONDS = 600.0
"""So long a run waits for another machine once all of its workers are lost."""


@dataclass(slots=True, kw_only=True)
class WorkerState:
    """Of one worker."""

    node: str
    """Number of its machine."""
    handle: Any  # of Ray's
    """By which it is ended."""
    is_busy: bool = False
    """Whether it is at a picture."""


class RunBook:
    """Keeps what the workers tell; one such actor serves a run, and outlives workers that die."""

    def __init__(self) -> None:
        """Begin with no worker and no picture."""
        self._counts: Counter[str] = Counter()
        self._workers: dict[str, WorkerState] = {}

    def arrive(self, worker: str, node: str, handle: Any) -> None:  # Any: of Ray's
        """A worker begins, or begins anew, on a machine.

        Args:
            worker: Its number, the same when it begins anew.
            node: The machine's number.
            handle: By which it is ended.
        """
        self._workers[worker] = WorkerState(node=node, handle=handle)

    def begin(self, worker: str, place: str) -> int:
        """Count one.

        Args:
            worker: Who begins.
            place: Of the picture's result.

        Returns:
            How often it was begun before: so many workers died at it.
        """
        if worker in self._workers:
            self._workers[worker].is_busy = True
        self._counts[place] += 1
        return self._counts[place] - 1

    def finish(self, worker: str) -> None:
        """A worker is done with its picture."""
        if worker in self._workers:
            self._workers[worker].is_busy = False

    def workers(self) -> dict[str, WorkerState]:
        """All that arrived and were not forgotten."""
        return self._workers

    def forget(self, workers: list[str]) -> None:
        """Strike workers that will not come back."""
        for worker in workers:
            self._workers.pop(worker, None)


class RemoteBook:
    """A `RunBook` on the driver's machine, as a worker writes into it: what cannot be told must not cost a picture."""

    def __init__(self, actor: Any) -> None:  # Any: a handle of Ray's
        """Take the actor's handle."""
        self._actor = actor

    def arrive(self, worker: str, node: str, handle: Any) -> None:  # Any: of Ray's
        """See `RunBook`."""
        _answer(self._actor.arrive, worker, node, handle)

    def begin(self, worker: str, place: str) -> int:
        """See `RunBook`; 0 where the actor cannot be reached."""
        return int(_answer(self._actor.begin, worker, place) or 0)

    def finish(self, worker: str) -> None:
        """See `RunBook`."""
        _answer(self._actor.finish, worker)


def _answer(method: Any, *words: Any) -> Any:  # Any: of Ray's, which has no types for them
    """What a method of an actor answers; None where it cannot, such as for want of memory."""
    import ray

    try:
        return ray.get(method.remote(*words))
    except ray.exceptions.RayError:
        return None


def arrive_in(book: RunBook | RemoteBook) -> str:
    """Tell a book of the worker that this process is, and return its number; outside of Ray it is empty."""
    import ray

    if not ray.is_initialized():
        return ""
    context = ray.get_runtime_context()
    worker = str(context.get_actor_id())
    book.arrive(worker, context.get_node_id(), context.current_actor)
    return worker


def workers_waited_for(workers: dict[str, WorkerState], living: set[str]) -> list[str]:
    """Workers of lost machines, whose pictures are all that is left; none while one elsewhere is at a picture.

    Args:
        workers: By name.
        living: Numbers of the machines that are there.
    """
    if any(worker.is_busy for worker in workers.values() if worker.node in living):
        return []
    return [name for name, worker in workers.items() if worker.node not in living]


class Crew:
    """The workers of one dataset."""

    def __init__(self, book: Any) -> None:  # Any: a handle of Ray's
        """Begin with none.

        Args:
            book: The actor that is a `RunBook`.
        """
        self._book = book
        self._idle_since: float | None = None
        self.num_lost = 0
        """Workers that were given up."""

    def watch(self, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Hand rows on, and look after the workers while none comes; none of them is left when this ends.

        Raises:
            LDRestoreError: all workers are lost, and no machine took their place.
            RayError: of the rows.
        """
        try:
            for row in timed(rows, WATCH_SECONDS):
                if row is None:
                    self._look()
                else:
                    self._idle_since = None
                    yield row
        finally:
            import ray

            if ray.is_initialized():  # asking for anything would begin it anew
                self._dismiss(self._workers())

    def _look(self) -> None:
        """Give up workers of lost machines whose pictures are all that is left."""
        import ray

        workers = self._workers()
        living = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        lost = workers_waited_for(workers, living)
        if not lost:
            self._idle_since = None
            return
        self._idle_since = self._idle_since or time.monotonic()
        waited = time.monotonic() - self._idle_since
        if len(lost) == len(workers):
            if waited >= DESERTED_SECONDS:
                raise LDRestoreError(
                    f"the machines of all {len(lost)} workers are lost, and none took their place in "
                    f"{DESERTED_SECONDS / 60:g} minutes; the same call again does what is missing"
                )
        elif waited >= LOST_SECONDS:
            self.num_lost += len(lost)
            self._dismiss({worker: workers[worker] for worker in lost})

    def _workers(self) -> dict[str, WorkerState]:
        """All that the book knows."""
        return _answer(self._book.workers) or {}

    def _dismiss(self, workers: dict[str, WorkerState]) -> None:
        """End workers; what waits with them fails, and so is not waited for."""
        import ray

        for worker in workers.values():
            ray.kill(worker.handle, no_restart=True)
        _answer(self._book.forget, list(workers))


def timed(rows: Iterator[dict[str, Any]], seconds: float) -> Iterator[dict[str, Any] | None]:
    """Rows as they come, and None whenever none came for so long.

    Args:
        rows: Drawn in a thread of their own.
        seconds: To wait for each.

    Yields:
        Each row, and None in between.

    Raises:
        Exception: what drawing the rows raises.
    """
    ready: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()  # None: the end

    def draw() -> None:
        try:
            for row in rows:
                ready.put(row)
            ready.put(None)
        except Exception as error:
            ready.put(error)

    threading.Thread(target=draw, name="rows of ray", daemon=True).start()
    while True:
        try:
            row = ready.get(timeout=seconds)
        except queue.Empty:
            yield None
            continue
        if row is None:
            return
        if isinstance(row, Exception):
            raise row
        yield row
