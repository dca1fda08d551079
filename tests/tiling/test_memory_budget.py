"""A memory budget on a large picture, by the command itself."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from skimage import data

from ldrestore.images.inputs import to_photo

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a child's peak memory is read as Linux tells it")


def peak_gigabytes(*words):
    """Largest resident memory of the command, in 10^9 bytes."""
    process = subprocess.Popen([sys.executable, "-m", "ldrestore", "restore", *map(str, words)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024 / 1e9


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 2])
def test_fifty_megapixels_stay_within_the_budget_above_the_idle_process(budget, tmp_path):
    noise = np.random.default_rng(0).normal(0, 20, (512, 512, 3))
    picture = np.clip(data.astronaut() + noise, 0, 255).astype(np.uint8)
    to_photo(cv2.resize(picture, (8661, 5774), interpolation=cv2.INTER_LINEAR)).save(tmp_path / "large.jpg")
    to_photo(picture[:64, :64].copy()).save(tmp_path / "small.jpg")
    peaks = [
        peak_gigabytes(tmp_path / f"{name}.jpg", tmp_path / f"{name}.png", "--memory", budget)
        for name in ("small", "large")
    ]
    assert peaks[1] - peaks[0] <= budget
