import numpy as np
import pytest

from ldrestore.degradations.mosaic import demosaic, interpolated, mosaicked
from ldrestore.degradations.transfer import to_linear


def through_mosaic(image, *, share=1.0, shot=0.0, read=0.0, seed=0):
    return demosaic(image, share=share, shot=shot, read=read, generator=np.random.default_rng(seed))


def test_a_perfect_interpolation_without_noise_changes_nothing(picture):
    assert np.abs(through_mosaic(picture, share=0.0) - picture).max() < 1e-5


def test_a_mosaic_keeps_one_colour_a_site():
    kept = mosaicked(np.ones((4, 6, 3), np.float32))
    assert np.array_equal(kept.sum(axis=2), np.ones((4, 6)))
    assert kept[0, 0].tolist() == [1, 0, 0] and kept[1, 1].tolist() == [0, 0, 1]
    assert kept[0, 1].tolist() == kept[1, 0].tolist() == [0, 1, 0]


def test_interpolation_is_the_mean_of_the_nearest_sites():
    image = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    full = interpolated(mosaicked(image))
    red, green, blue = np.moveaxis(image, 2, 0)
    assert full[2, 2, 0] == red[2, 2] and full[3, 3, 2] == blue[3, 3]
    assert full[2, 3, 0] == pytest.approx((red[2, 2] + red[2, 4]) / 2)
    assert full[3, 3, 0] == pytest.approx((red[2, 2] + red[2, 4] + red[4, 2] + red[4, 4]) / 4)
    assert full[2, 2, 1] == pytest.approx((green[1, 2] + green[3, 2] + green[2, 1] + green[2, 3]) / 4)
    assert full[3, 2, 2] == pytest.approx((blue[3, 1] + blue[3, 3]) / 2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 6)])
def test_flat_colours_survive_at_all_sizes_and_phases(shape, seed):
    image = np.empty((*shape, 3), np.float32)
    image[...] = (0.8, 0.5, 0.2)
    assert np.abs(through_mosaic(image, seed=seed) - image).max() < 1e-4


def test_edges_of_grey_become_coloured(grey):
    image = grey(0.2, 16, 16)
    image[:, 8:] = 0.8
    result = through_mosaic(image)
    spread = np.ptp(result, axis=2)
    assert spread[4:12, 6:10].max() > 0.05 and spread[4:12, :5].max() < 1e-4


def test_the_error_is_in_proportion_to_its_share(picture):
    whole, half = (to_linear(through_mosaic(picture, share=share)) - to_linear(picture) for share in (1.0, 0.5))
    assert np.allclose(half, whole / 2, atol=1e-4)


def test_noise_has_the_variance_of_the_site(grey):
    light = to_linear(through_mosaic(grey(0.5, 200, 200), shot=2e-3, read=5e-3, seed=3))
    expected = np.sqrt(2e-3 * to_linear(np.float32(0.5)) + 5e-3**2)
    peaks = [light[row::2, column::2, 0].std() for row in (0, 1) for column in (0, 1)]
    assert max(peaks) == pytest.approx(expected, rel=0.05)  # at the red sites, which are not interpolated
