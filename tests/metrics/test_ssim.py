import numpy as np
import pytest
from skimage.metrics import structural_similarity

from ldrestore.errors import ShapeError
from ldrestore.metrics.luma import luma_of
from ldrestore.metrics.protocols import SKIMAGE_GAUSSIAN, SKIMAGE_UNIFORM
from ldrestore.metrics.ssim import WANG, SsimWindow, ssim

WANG_BY_SKIMAGE = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


@pytest.mark.parametrize(
    ("window", "options"),
    [
        (WANG, WANG_BY_SKIMAGE),
        (SKIMAGE_GAUSSIAN, {"gaussian_weights": True}),
        (SKIMAGE_UNIFORM, {}),
        (SsimWindow(kind="uniform", size=11), {"win_size": 11, "use_sample_covariance": False}),
    ],
)
def test_it_equals_the_one_of_scikit_image(cat, noisy, window, options):
    expected = structural_similarity(cat, noisy, channel_axis=2, data_range=255, **options)
    assert ssim(noisy, cat, window=window) == pytest.approx(expected, abs=1e-9)


def test_it_equals_the_one_of_scikit_image_on_luma_and_on_floats(cat, noisy):
    luma, other = (luma_of(picture, "limited") for picture in (cat, noisy))
    expected = structural_similarity(luma[..., 0], other[..., 0], data_range=255, **WANG_BY_SKIMAGE)
    assert ssim(other, luma) == pytest.approx(expected, abs=1e-9)
    assert ssim(noisy / 255, cat / 255, peak=1.0) == pytest.approx(ssim(noisy, cat), abs=1e-9)


def test_equal_pictures_have_one(cat):
    assert ssim(cat, cat) == pytest.approx(1.0, abs=1e-12)


def test_pictures_smaller_than_the_window_and_of_other_shapes_are_refused():
    with pytest.raises(ShapeError, match="smaller than the window of 11"):
        ssim(np.zeros((10, 40, 3)), np.zeros((10, 40, 3)))
    with pytest.raises(ShapeError, match="of one shape"):
        ssim(np.zeros((20, 20, 3)), np.zeros((20, 20, 1)))
