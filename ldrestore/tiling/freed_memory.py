"""Keep freed memory in the process while a picture is restored: a network asks for the same large blocks again."""

import ctypes
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_INSIDE = 2**30
"""Blocks up to this many bytes come from the heap, and as much free memory at its end is kept, during a picture."""
_KEEP_BETWEEN = 2**29
"""Free memory in bytes that is kept for the next picture: what the default model needs for a megapixel."""
_USUAL_MMAP_THRESHOLD = 2**25
"""What glibc's own threshold grows to in a process that has freed large blocks (mallopt(3), 64-bit)."""
_USER_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
"""Variables of the environment by which a user sets the same."""

_lock = threading.Lock()
_num_inside = 0


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Have glibc keep freed blocks inside, and half a gigabyte of them for the next picture; elsewhere do nothing.

    By default each block above 32 MB is mapped anew and cleared by the system, which on two CPU cores took more than
    half of the time of a picture of a megapixel; and giving all back between two pictures a third. The setting is one
    of the whole process: blocks of all sizes come from the heap while any thread is inside, and the last to leave gives
    back what is beyond half a gigabyte. Blocks that other threads than the main one ask for come from smaller heaps,
    and gain less. Somebody who set MALLOC_MMAP_THRESHOLD_ or MALLOC_TRIM_THRESHOLD_ is left alone.
    """
    global _num_inside
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _USER_SETTINGS):
        yield
        return
    libc = ctypes.CDLL(None)
    with _lock:
        _num_inside += 1
        if libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_INSIDE):  # a glibc before 2.35 may refuse more than 32 MB
            libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_INSIDE)
    try:
        yield
    finally:
        with _lock:
            _num_inside -= 1
            if _num_inside == 0:
                libc.mallopt(_M_MMAP_THRESHOLD, _USUAL_MMAP_THRESHOLD)
                libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BETWEEN)
                libc.malloc_trim(_KEEP_BETWEEN)
