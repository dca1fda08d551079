import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from ldrestore.errors import ShapeError
from ldrestore.metrics.luma import LumaRange, luma_of
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


@pytest.mark.parametrize(
    ("luma_range", "offset", "weights"),
    [("limited", 16.0, (65.481, 128.553, 24.966)), ("full", 0.0, (255 * 0.299, 255 * 0.587, 255 * 0.114))],
)
def test_each_pixel_is_the_weighted_sum_of_its_colours(
    luma_range: LumaRange, offset: float, weights: tuple[float, float, float]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 3)).astype(np.uint8)
    luma = luma_of(picture, luma_range)
    assert luma.shape == (3, 5, 1) and luma.dtype == np.float64
    for row in range(3):
        for column in range(5):
            shares = [value / 255 for value in picture[row, column].tolist()]
            expected = offset + sum(share * weight for share, weight in zip(shares, weights, strict=True))
            assert luma[row, column, 0] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (3, 4, 4, 3)])
def test_other_shapes_than_rgb_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=rf"luma is of \(H, W, 3\), got \({shape[0]}, {shape[1]}"):
        luma_of(np.zeros(shape), "limited")
