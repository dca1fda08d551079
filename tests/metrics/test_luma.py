import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from ldrestore.errors import ShapeError
from ldrestore.metrics.luma import luma_of
from ldrestore.metrics.psnr import psnr


def test_limited_range_is_that_of_matlab_and_scikit_image(cat):
    assert np.allclose(luma_of(cat, "limited")[..., 0], rgb2ycbcr(cat)[..., 0], atol=1e-9)


def test_black_and_white_span_each_range():
    ends = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    assert luma_of(ends, "limited").flatten().tolist() == pytest.approx([16, 235])
    assert luma_of(ends, "full").flatten().tolist() == pytest.approx([0, 255])


def test_full_range_has_less_decibels_by_the_ratio_of_the_ranges(cat, noisy):
    limited, full = (psnr(luma_of(noisy, kind), luma_of(cat, kind)) for kind in ("limited", "full"))
    assert limited - full == pytest.approx(20 * np.log10(255 / 219), abs=0.01)


def test_grey_pictures_are_refused():
    with pytest.raises(ShapeError, match="repeat a grey channel"):
        luma_of(np.zeros((4, 4, 1)), "full")
