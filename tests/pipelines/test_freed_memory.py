import ctypes
import platform
import subprocess
import sys

import pytest

from ldrestore.pipelines.freed_memory import keeping_freed_memory

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")

MEASURE = """
import resource, sys
import numpy as np
from ldrestore.pipelines.freed_memory import keeping_freed_memory

def pages_of_ten_blocks():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(12_000_000, np.float64)  # 96 MB, above every threshold of glibc's own
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_bytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

before = resident_bytes()
with keeping_freed_memory():
    with keeping_freed_memory():
        pages_of_ten_blocks()
    inside = pages_of_ten_blocks()
    kept = resident_bytes() - before
print(inside, pages_of_ten_blocks(), kept, resident_bytes() - before)
"""


@needs_glibc
@pytest.mark.e2e
def test_blocks_are_mapped_once_inside_and_given_back_after():
    outcome = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=60, check=True)
    inside, outside, kept, kept_after = map(int, outcome.stdout.split())
    assert inside < outside / 5
    assert kept_after < 20e6 < 90e6 < kept


@needs_glibc
def test_settings_are_undone_after_an_error(monkeypatch):
    calls = []

    class Libc:
        def mallopt(self, option, value):
            calls.append((option, value))
            return 1

        def malloc_trim(self, _pad):
            calls.append("trim")

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Libc())
    with pytest.raises(RuntimeError, match="inside"), keeping_freed_memory():
        raise RuntimeError("inside")
    assert calls == [(-3, 2**30), (-1, 2**30), (-3, 2**25), (-1, 2**26), "trim"]


@pytest.mark.parametrize("case", ["another libc", "a user's own setting"])
def test_elsewhere_nothing_happens(monkeypatch, case):
    if case == "another libc":
        monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    else:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: pytest.fail("touched the allocator"))
    with keeping_freed_memory():
        pass
