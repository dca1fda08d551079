import numpy as np
import pytest
from skimage.metrics import structural_similarity
from skimage.transform import downscale_local_mean

from ldrestore.errors import ShapeError
from ldrestore.metrics.ms_ssim import WEIGHTS, ms_ssim
from ldrestore.metrics.protocols import SKIMAGE_UNIFORM

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


def literal_halves(picture: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, one after the other; what is left at the right and lower border is dropped."""
    small = np.empty((picture.shape[0] // 2, picture.shape[1] // 2, picture.shape[2]))
    for row in range(small.shape[0]):
        for column in range(small.shape[1]):
            block = picture[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].astype(float)
            small[row, column] = block.sum(axis=(0, 1)) / 4
    return small


@pytest.mark.parametrize("size", [(46, 45), (45, 47)])
def test_each_scale_halves_the_one_before_and_the_last_counts_the_light(
    cat: np.ndarray, noisy: np.ndarray, size: tuple[int, int]
) -> None:
    result, gt = noisy[: size[0], : size[1]], cat[: size[0], : size[1]]
    small_result, small_gt = literal_halves(result), literal_halves(gt)
    values = []
    for channel in range(3):
        _, fine = _terms(result[..., channel].astype(float), gt[..., channel].astype(float))
        whole, _ = _terms(small_result[..., channel], small_gt[..., channel])
        values.append(fine**0.3 * whole**0.7)
    assert ms_ssim(result, gt, weights=(0.3, 0.7)) == pytest.approx(np.mean(values), abs=1e-6)


def test_order_does_not_matter_and_scales_without_weight_count_nothing(cat: np.ndarray, noisy: np.ndarray) -> None:
    gt, result = cat[:60, :70], noisy[:60, :70]
    assert ms_ssim(result, gt, weights=(0.4, 0.6)) == pytest.approx(ms_ssim(gt, result, weights=(0.4, 0.6)), abs=1e-12)
    assert ms_ssim(result, gt, weights=(0.0, 1.0)) == pytest.approx(
        ms_ssim(literal_halves(result), literal_halves(gt), weights=(1.0,)), abs=1e-12
    )


def test_a_negative_structure_counts_as_none() -> None:
    noise = np.random.default_rng(0).normal(0, 30, (24, 24, 1))
    assert ms_ssim(128 - noise, 128 + noise, weights=(0.5, 0.5)) == 0.0


def test_the_smallest_side_follows_from_scales_and_window() -> None:
    picture = np.zeros((22, 22, 1))
    assert ms_ssim(picture, picture, weights=(0.5, 0.5)) == pytest.approx(1.0)
    assert ms_ssim(picture[:14, :14], picture[:14, :14], weights=(0.5, 0.5), window=SKIMAGE_UNIFORM) == pytest.approx(1)
    with pytest.raises(ShapeError, match="MS-SSIM of 2 scales needs at least 22 pixels a side, got 21x22"):
        ms_ssim(picture[1:], picture[1:], weights=(0.5, 0.5))
