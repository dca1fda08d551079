"""What severity 0.5 means: PSNR in dB of the degraded picture, 8-bit, all channels.

The windows of `KODAK24` are those that the severities were made for. They need the 24 pictures of the Kodak set, which
do not ship with this project: set LDRESTORE_KODAK24 to a folder of them. The windows of `SAMPLES` were measured on
pictures of scikit-image, with this code, and hold it where it is.
"""

import itertools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from ldrestore.degradations.recipes import list_degradations
from ldrestore.images.files import is_image_path, read_photo

FOLDER = os.environ.get("LDRESTORE_KODAK24")

KODAK24 = {
    "rain": (21, 25),
    "snow": (18, 23),
    "haze": (13, 17),
    "low_light": (8, 13),
    "raindrop": (20, 26),
    "motion_blur": (23, 27),
    "defocus_blur": (23, 27),
}
"""Lowest and highest mean PSNR on Kodak24."""

SAMPLES = {
    "gaussian_noise": 20.6,
    "poisson_noise": 24.9,
    "real_noise": 31.9,
    "motion_blur": 23.7,
    "defocus_blur": 24.8,
    "gaussian_blur": 26.1,
    "rain": 21.1,
    "snow": 18.9,
    "haze": 13.0,
    "raindrop": 21.8,
    "low_light": 10.5,
    "jpeg": 28.7,
    "downscale": 31.1,
    "cloud": 15.4,
    "aerial_downscale": 27.8,
    "ct_low_dose": 29.0,
    "mri_undersample": 26.4,
    "under_display": 21.2,
    "moire": 23.9,
    "underwater": 14.7,
    "demosaic": 30.5,
}
"""Mean PSNR on four sample pictures of 256 pixels' width, four seeds each."""
TOLERANCE = 0.7
"""How far from the measured mean, in dB: more than versions of OpenCV and libjpeg differ by."""


def psnr(lq, gt):
    """PSNR of two float pictures after rounding to 8 bits; 100 for equal ones."""
    error = np.mean((np.rint(lq * 255.0) - np.rint(gt * 255.0)) ** 2)
    return 100.0 if error == 0 else 10 * np.log10(255.0**2 / error)


@pytest.fixture(scope="module")
def samples():
    """Four pictures of (H, 256, 3) float32."""
    pictures = []
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        picture = getattr(skimage.data, name)()
        size = (256, round(picture.shape[0] * 256 / picture.shape[1]))
        pictures.append(cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
    return pictures


@pytest.fixture(scope="module")
def kodak24():
    """The Kodak pictures, (512, 768, 3) or upright, float32."""
    paths = sorted(path for path in Path(FOLDER).iterdir() if is_image_path(path))
    assert len(paths) == 24, f"{FOLDER} must hold the 24 pictures of the Kodak set, holds {len(paths)}"
    return [read_photo(path).pixels.astype(np.float32) / 255 for path in paths]


@pytest.mark.parametrize("name", list_degradations())
def test_severity_half_stays_where_it_was_set(samples, degraded, name):
    values = [
        psnr(degraded(gt, name, seed=10 * draw + index), gt) for draw in range(4) for index, gt in enumerate(samples)
    ]
    assert np.mean(values) == pytest.approx(SAMPLES[name], abs=TOLERANCE)


@pytest.mark.parametrize("name", list_degradations())
def test_more_severity_means_less_fidelity(samples, degraded, name):
    means = []
    for severity in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0):
        values = [
            psnr(degraded(gt, name, severity=severity, seed=10 * draw + index), gt)
            for draw in range(2)
            for index, gt in enumerate(samples)
        ]
        means.append(np.mean(values))
    assert all(milder > stronger + 0.5 for milder, stronger in itertools.pairwise(means)), means


@pytest.mark.skipif(FOLDER is None, reason="LDRESTORE_KODAK24 names no folder of the Kodak pictures")
@pytest.mark.parametrize("name", KODAK24)
def test_severity_half_lies_in_its_window_on_kodak24(kodak24, degraded, name):
    low, high = KODAK24[name]
    mean = np.mean([psnr(degraded(gt, name, seed=index), gt) for index, gt in enumerate(kodak24)])
    assert low <= mean <= high
