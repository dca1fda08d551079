import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from ldrestore.errors import ShapeError
from ldrestore.metrics.psnr import decibels, psnr


def test_it_follows_its_definition():
    gt = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(gt + 1, gt) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(np.zeros_like(gt), np.full_like(gt, 255)) == 0.0


@pytest.mark.parametrize(("dtype", "peak"), [(np.uint8, 255), (np.uint16, 65535)])
def test_it_equals_the_one_of_scikit_image_over_several_bands(dtype, peak):
    random = np.random.default_rng(0)
    result, gt = (random.integers(0, peak, (600, 31, 3), dtype=dtype) for _ in range(2))
    assert psnr(result, gt, peak=peak) == pytest.approx(peak_signal_noise_ratio(gt, result), abs=1e-9)
    floats = result / peak, gt / peak
    assert psnr(*floats, peak=1.0) == pytest.approx(peak_signal_noise_ratio(floats[1], floats[0], data_range=1))


def test_equal_pictures_are_infinitely_alike_or_as_alike_as_the_cap():
    gt = np.zeros((3, 3), np.uint8)
    assert psnr(gt, gt) == math.inf
    assert psnr(gt, gt, cap=60.0) == 60.0
    assert decibels(1e-9, cap=60.0) == 60.0


def test_other_shapes_are_refused():
    with pytest.raises(ShapeError, match=r"shapes \(2, 2, 3\) and \(2, 2\)"):
        psnr(np.zeros((2, 2, 3)), np.zeros((2, 2)))
