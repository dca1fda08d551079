"""Measure the working memory of regressors on the CPU: the `bytes_per_pixel` of their records.

    python scripts/measure_memory.py squeezed_nafnet nafnet_sidd_w32

prints, for each, the growth of the peak memory during a float32 forward pass over a square picture, divided by
its pixels. Each network runs in a process of its own.
"""

import argparse
import resource
import subprocess
import sys

import torch

from ldrestore.regressors.factory import create_regressor

SIDE = 1024
"""Side of the picture in pixels."""


def peak_bytes() -> int:
    """Largest resident memory of this process so far; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def bytes_per_pixel(name: str) -> float:
    """Growth of the peak from a small picture, which pays for the libraries, to a large one, a pixel."""
    network = create_regressor(name).eval()
    with torch.no_grad():
        network(torch.rand(1, 3, 128, 128).contiguous(memory_format=torch.channels_last))
        lq = torch.rand(1, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
        before = peak_bytes()
        network(lq)
    return (peak_bytes() - before) / SIDE**2


def main() -> None:
    """Parse the command line; measure each name in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    names = parser.parse_args().names
    if len(names) == 1:
        print(f"{names[0]}: {bytes_per_pixel(names[0]):.0f} bytes a pixel")
        return
    for name in names:
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main()
