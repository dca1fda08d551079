"""Measure the memory and time of `ldrestore restore` on a large picture under a memory budget.

    python scripts/measure_tiled_memory.py --megapixels 50 --memory 2

prints how far the command's peak lies above that of the same command on a small picture, which stands for the idle
process with its libraries and its model. Linux only: the peak is the largest resident memory of the child process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from ldrestore.images.inputs import to_photo


def peak_gigabytes(arguments: list[str]) -> tuple[float, float]:
    """Run the command; its peak resident memory in 10^9 bytes, and its wall-clock seconds.

    Raises:
        CalledProcessError: the command failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "ldrestore.cli.main", "restore", *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), arguments)
    process.returncode = 0
    return usage.ru_maxrss * 1024 / 1e9, time.perf_counter() - start


def measure_memory(model: str, *, megapixels: float, budget: float) -> dict[str, float]:
    """Make a large and a small picture, run the command on both.

    Args:
        model: Name or folder of the model.
        megapixels: Of the large picture.
        budget: In 10^9 bytes.

    Returns:
        Size of the large picture, budget, peak above the idle process and idle process in 10^9 bytes, and seconds.

    Raises:
        CalledProcessError: the command failed.
    """
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(height * 1.5)
    picture = data.astronaut()
    noise = np.random.default_rng(0).normal(0, 20, picture.shape)
    picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        to_photo(large).save(folder / "large.jpg")
        to_photo(picture[:64, :64].copy()).save(folder / "small.jpg")
        options = ["--model", model, "--memory", str(budget), "--quiet"]
        idle, _ = peak_gigabytes([str(folder / "small.jpg"), str(folder / "small.png"), *options])
        peak, seconds = peak_gigabytes([str(folder / "large.jpg"), str(folder / "large.png"), *options])
    return {
        "width": width,
        "height": height,
        "budget": budget,
        "peak_above_idle": round(peak - idle, 2),
        "idle": round(idle, 2),
        "seconds": round(seconds),
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--megapixels", type=float, default=50.0)
    parser.add_argument("--memory", type=float, default=2.0, help="budget in 10^9 bytes")
    options = parser.parse_args()
    row = measure_memory(options.model, megapixels=options.megapixels, budget=options.memory)
    print(
        f"{row['width']}x{row['height']} pixels with --memory {row['budget']:g}: peak {row['peak_above_idle']:.2f} GB "
        f"above the idle process ({row['idle']:.2f} GB), {row['seconds']} s"
    )


if __name__ == "__main__":
    main()
