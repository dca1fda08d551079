import ctypes
import platform
import subprocess
import sys

import pytest

from ldrestore.tiling.freed_memory import keeping_freed_memory

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")

MEASURE = """
import resource, sys
import numpy as np
from ldrestore.tiling.freed_memory import keeping_freed_memory

def pages_of_ten_blocks(num_bytes=96_000_000):  # above every threshold of glibc's own
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(num_bytes // 8, np.float64)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_bytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

before, usual = resident_bytes(), pages_of_ten_blocks()
with keeping_freed_memory():
    with keeping_freed_memory():
        pages_of_ten_blocks()
    inside = pages_of_ten_blocks()
with keeping_freed_memory():
    again = pages_of_ten_blocks()
with keeping_freed_memory():
    pages_of_ten_blocks(900_000_000)
print(usual, inside, again, resident_bytes() - before)
"""


@needs_glibc
@pytest.mark.e2e
def test_blocks_are_mapped_once_and_half_a_gigabyte_is_kept_between():
    outcome = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=60, check=True)
    usual, inside, again, kept = map(int, outcome.stdout.split())
    assert inside < usual / 5
    assert again < usual / 5
    assert kept < 2**29 + 20e6


@needs_glibc
def test_settings_are_undone_after_an_error(monkeypatch):
    calls = []

    class Libc:
        def mallopt(self, option, value):
            calls.append((option, value))
            return 1

        def malloc_trim(self, pad):
            calls.append(pad)

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Libc())
    with pytest.raises(RuntimeError, match="inside"), keeping_freed_memory():
        raise RuntimeError("inside")
    assert calls == [(-3, 2**30), (-1, 2**30), (-3, 2**25), (-1, 2**29), 2**29]


@pytest.mark.parametrize("case", ["another libc", "a user's own setting"])
def test_elsewhere_nothing_happens(monkeypatch, case):
    if case == "another libc":
        monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    else:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: pytest.fail("touched the allocator"))
    with keeping_freed_memory():
        pass
