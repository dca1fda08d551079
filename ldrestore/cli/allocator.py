"""Keep freed memory in the process: the networks ask for the same large blocks again and again."""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_UP_TO = 2**30
"""Blocks up to this many bytes come from the heap, and as much free memory at its end is kept."""


def keep_freed_memory() -> None:
    """Tell glibc not to give freed blocks back to the system at once; elsewhere this does nothing.

    By default each block above some megabytes is mapped anew and cleared by the system: on 2 CPU cores a picture of a
    megapixel took more than twice as long that way. It is a setting of the whole process, so only the command line
    makes it, never the library.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_UP_TO)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_UP_TO)
