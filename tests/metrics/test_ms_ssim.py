import numpy as np
import pytest
from skimage.metrics import structural_similarity
from skimage.transform import downscale_local_mean

from ldrestore.errors import ShapeError
from ldrestore.metrics.ms_ssim import WEIGHTS, ms_ssim

WANG_BY_SKIMAGE = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def test_one_scale_is_ssim(cat, noisy):
    expected = structural_similarity(cat, noisy, channel_axis=2, data_range=255, **WANG_BY_SKIMAGE)
    assert ms_ssim(noisy, cat, weights=(1.0,)) == pytest.approx(expected, abs=1e-6)


def test_five_scales_weigh_as_in_the_paper(cat, noisy):
    cat, noisy = cat[:180, :190], noisy[:180, :190]
    assert sum(WEIGHTS) == pytest.approx(1.0, abs=1e-4)
    assert ms_ssim(cat, cat) == pytest.approx(1.0, abs=1e-12)
    scales, result, gt = [], noisy.astype(float), cat.astype(float)
    for _ in WEIGHTS:
        scales.append([_terms(result[..., channel], gt[..., channel]) for channel in range(3)])
        result, gt = (picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2] for picture in (result, gt))
        result, gt = (downscale_local_mean(picture, (2, 2, 1)) for picture in (result, gt))
    values = [
        np.prod([scales[j][channel][1] ** WEIGHTS[j] for j in range(4)]) * scales[4][channel][0] ** WEIGHTS[4]
        for channel in range(3)
    ]
    assert ms_ssim(noisy, cat) == pytest.approx(np.mean(values), abs=1e-6)


def _terms(x, y):
    """Means of SSIM by scikit-image, and of cs by its definition over scikit-image's windows."""
    from scipy.ndimage import gaussian_filter

    def averaged(values):
        return gaussian_filter(values, 1.5, truncate=3.5)[5:-5, 5:-5]

    whole = structural_similarity(x, y, data_range=255, **WANG_BY_SKIMAGE)
    mean_x, mean_y = averaged(x), averaged(y)
    spread = averaged(x * x) - mean_x**2 + averaged(y * y) - mean_y**2
    structure = (2 * (averaged(x * y) - mean_x * mean_y) + 58.5225) / (spread + 58.5225)
    return whole, structure.mean()


def test_small_pictures_are_refused_with_a_way_out():
    with pytest.raises(ShapeError, match="at least 176 pixels a side, got 175x200"):
        ms_ssim(np.zeros((175, 200, 3)), np.zeros((175, 200, 3)))
