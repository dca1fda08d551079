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


def literal_ssim(x: np.ndarray, y: np.ndarray, window: SsimWindow, *, peak: float) -> float:
    """Eq. 13 of Wang et al. 2004 for each whole window of one channel, and the mean of them."""
    side, line = window.side, window.weights()
    weights = np.outer(line, line)
    scale = side**2 / (side**2 - 1) if window.has_sample_covariance else 1.0
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    values = []
    for top in range(x.shape[0] - side + 1):
        for left in range(x.shape[1] - side + 1):
            a, b = (part[top : top + side, left : left + side].astype(np.float64) for part in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (scale * (weights * (p - m) ** 2).sum() for p, m in ((a, mean_a), (b, mean_b)))
            cov = scale * (weights * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
            values.append(luminance * (2 * cov + c2) / (var_a + var_b + c2))
    return float(np.mean(values))


@pytest.mark.parametrize("window", [WANG, SKIMAGE_GAUSSIAN, SKIMAGE_UNIFORM, SsimWindow(sigma=0.8)])
def test_it_is_the_equation_window_by_window_and_the_mean_over_the_channels(
    cat: np.ndarray, noisy: np.ndarray, window: SsimWindow
) -> None:
    gt, result = cat[100:114, 200:216], noisy[100:114, 200:216]
    channels = [literal_ssim(result[..., c], gt[..., c], window, peak=255.0) for c in range(3)]
    assert ssim(result, gt, window=window) == pytest.approx(np.mean(channels), abs=1e-10)
    alone = [ssim(result[..., [c]], gt[..., [c]], window=window) for c in range(3)]
    assert alone == pytest.approx(channels, abs=1e-10)


def test_a_picture_of_the_windows_size_has_one_window() -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (2, 11, 11, 1)).astype(np.uint8)
    assert ssim(x, y) == pytest.approx(literal_ssim(x[..., 0], y[..., 0], WANG, peak=255.0), abs=1e-12)


def test_order_turns_and_mirrors_change_nothing(cat: np.ndarray, noisy: np.ndarray) -> None:
    gt, result = cat[:40, :50], noisy[:40, :50]
    expected = ssim(result, gt)
    assert ssim(gt, result) == pytest.approx(expected, abs=1e-12)
    for turned in (lambda p: p[::-1], lambda p: p[:, ::-1], lambda p: p.transpose(1, 0, 2), lambda p: p[..., ::-1]):
        assert ssim(turned(result), turned(gt)) == pytest.approx(expected, abs=1e-12)


def test_a_negative_is_dissimilar_and_even_areas_differ_by_their_light_alone() -> None:
    noise = np.random.default_rng(0).normal(0, 30, (20, 20, 1))
    assert ssim(128 - noise, 128 + noise) < -0.9
    bright, dark = np.full((12, 12, 3), 200.0), np.full((12, 12, 3), 50.0)
    constant = (0.01 * 255) ** 2
    expected = (2 * 200 * 50 + constant) / (200**2 + 50**2 + constant)
    assert ssim(bright, dark) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("window", [WANG, SKIMAGE_UNIFORM, SsimWindow(kind="uniform", size=3), SsimWindow(sigma=0.5)])
def test_weights_of_a_window_are_even_and_sum_to_one(window: SsimWindow) -> None:
    weights = window.weights()
    assert len(weights) == window.side and window.side % 2 == 1
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.array_equal(weights, weights[::-1]) and weights[window.side // 2] == weights.max()
