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


@pytest.mark.parametrize(("value", "expected"), [(math.nan, math.nan), (math.inf, -math.inf)])
@pytest.mark.parametrize("cap", [math.inf, 100.0])
def test_a_picture_that_is_no_number_never_counts_as_a_perfect_one(value: float, expected: float, cap: float) -> None:
    gt = np.zeros((600, 3))
    broken = gt.copy()
    broken[300, 1] = value
    found = psnr(broken, gt, peak=1.0, cap=cap)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_the_error_is_summed_value_by_value_and_counts_either_way() -> None:
    random = np.random.default_rng(1)
    result, gt = random.integers(0, 256, (2, 5, 7, 3)).astype(np.uint8)
    squares = 0
    for left, right in zip(result.flatten().tolist(), gt.flatten().tolist(), strict=True):
        squares += (left - right) ** 2  # of Python's integers, which do not wrap around as uint8 does
    expected = 10 * math.log10(255**2 / (squares / (5 * 7 * 3)))
    assert psnr(result, gt) == pytest.approx(expected, abs=1e-12)
    assert psnr(gt, result) == pytest.approx(expected, abs=1e-12)
    assert psnr(result[::-1, ::-1], gt[::-1, ::-1]) == pytest.approx(expected, abs=1e-12)


def test_ten_times_the_error_is_twenty_decibels_less_whatever_the_scale() -> None:
    error = np.random.default_rng(2).normal(0, 1, (40, 30))
    gt = np.full_like(error, 100.0)
    small, large = (psnr(gt + factor * error, gt) for factor in (0.1, 1.0))
    assert small - large == pytest.approx(20.0, abs=1e-9)
    assert psnr(3 * (gt + error), 3 * gt, peak=3 * 255) == pytest.approx(large, abs=1e-9)


def test_the_smallest_error_there_is_gives_the_cap_and_no_overflow() -> None:
    assert decibels(5e-324) == math.inf
    assert decibels(5e-324, cap=100.0) == 100.0
    assert decibels(255**2) == 0.0
    assert decibels(1e300, cap=100.0) < -2900
