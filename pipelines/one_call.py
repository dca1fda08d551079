"""One call of a pipeline at a time, and nothing left behind by it, however it ends."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import DiffusionPipeline

_locks: "weakref.WeakKeyDictionary[DiffusionPipeline, threading.RLock]" = weakref.WeakKeyDictionary()
_guard = threading.Lock()


@contextmanager
def one_call(pipeline: DiffusionPipeline) -> Iterator[None]:
    """Have other threads wait within it; at its end, by success or failure, off-loaded modules go back to the CPU.

    The lock lies beside the pipeline and not in it, so that pipelines can still be copied and pickled.

    Args:
        pipeline: That is called.
    """
    with _guard:
        lock = _locks.setdefault(pipeline, threading.RLock())
    with lock:
        try:
            yield
        finally:
            pipeline.maybe_free_model_hooks()
