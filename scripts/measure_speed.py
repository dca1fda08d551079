"""Measure the seconds for one megapixel against OpenCV's non-local means, in turn in one process.

    python scripts/measure_speed.py KODAK24_FOLDER --model default

prints JSON. Python and the command line call the same pipeline with the same settings.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ldrestore.datasets.compared_pairs import degraded
from ldrestore.datasets.pictures import list_pictures
from ldrestore.images.files import read_photo
from ldrestore.restorers import load_restorer

SIZE = (1224, 817)
"""Width and height of the picture: one megapixel."""


def measure_speed(pipeline: Any, picture: np.ndarray, *, repeats: int) -> dict[str, Any]:
    """Median seconds of a picture, ours and OpenCV's non-local means in turn, and their ratio.

    Args:
        pipeline: A restorer; called once before.
        picture: (H, W, 3) uint8.
        repeats: Of both.
    """
    ours, peers = [], []
    pipeline(picture)
    cv2.fastNlMeansDenoisingColored(picture[:128, :128], None, 10, 10, 7, 21)
    for _ in range(repeats):
        start = time.perf_counter()
        cv2.fastNlMeansDenoisingColored(picture, None, 10, 10, 7, 21)
        peers.append(time.perf_counter() - start)
        start = time.perf_counter()
        pipeline(picture)
        ours.append(time.perf_counter() - start)
    ratios = sorted(a / b for a, b in zip(ours, peers, strict=True))
    return {
        "threads": torch.get_num_threads(),
        "opencv_threads": cv2.getNumThreads(),
        "megapixels": round(picture.shape[0] * picture.shape[1] / 1e6, 3),
        "repeats": repeats,
        "seconds": round(statistics.median(ours), 3),
        "opencv_nlm_seconds": round(statistics.median(peers), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(ratios[0], 3), round(ratios[-1], 3)],
    }


def measure_in_process(folder: Path, model: str, *, device: str, repeats: int) -> dict[str, Any]:
    """`measure_speed` in a fresh process, whose allocator nothing else has touched.

    Raises:
        CalledProcessError: the process failed.
    """
    command = [sys.executable, __file__, str(folder), "--model", model, "--device", device, "--repeats", str(repeats)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    """Parse the command line, make the picture, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="pictures, of which the first three are put together")
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    mosaic = np.concatenate([read_photo(path).pixels for path in list_pictures([arguments.folder])[:3]], axis=1)
    picture = degraded(cv2.resize(mosaic, SIZE, interpolation=cv2.INTER_AREA), "gaussian_noise(sigma_255=25)", "speed")
    pipeline = load_restorer(arguments.model, device=arguments.device)
    pipeline.set_progress_bar_config(disable=True)
    print(json.dumps(measure_speed(pipeline, picture, repeats=arguments.repeats)))


if __name__ == "__main__":
    main()
