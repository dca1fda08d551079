"""When a call of the command began, so that it leaves alone what another call has written since."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

LONGEST_START = 600.0
"""Seconds that a process may have taken to get here; a system that tells of more counts differently."""

_START: ContextVar[float | None] = ContextVar("start of the call", default=None)


def call_start() -> float | None:
    """Seconds since the epoch when this process began, whose only work is the call; None for calls inside another."""
    return _START.get()


@contextmanager
def whole_process() -> Iterator[None]:
    """Context of a call that is all that its process does."""
    token = _START.set(time.time() - _age())
    try:
        yield
    finally:
        _START.reset(token)


def _age() -> float:
    """Seconds that this process lives already; where the system does not tell, those that it computed."""
    computed = time.process_time()
    with suppress(OSError, ValueError, IndexError, AttributeError):  # Linux alone has these
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        if computed - 0.1 <= age <= LONGEST_START:
            return age
    return computed
