import cv2
import numpy as np
import pytest
from skimage import data

from ldrestore.errors import ShapeError
from ldrestore.metrics import niqe as module
from ldrestore.metrics.niqe import Pristine, niqe


@pytest.fixture(scope="module")
def pristine():
    """Of three photographs, as the authors made theirs of 125."""
    features = []
    for picture in (data.astronaut(), data.coffee(), data.rocket()):
        rows, columns = picture.shape[0] // 96 * 96, picture.shape[1] // 96 * 96
        luma = np.rint(picture[:rows, :columns] @ module._GREY)
        features.append(
            np.concatenate([module._features(luma, 96), module._features(module._halved(luma), 48)], axis=1)
        )
    whole = np.concatenate(features)
    whole = whole[~np.isnan(whole).any(axis=1)]
    return Pristine(mean=whole.mean(axis=0), covariance=np.cov(whole, rowvar=False))


def test_damage_is_farther_from_pristine_pictures(cat, pristine):
    blurred = cv2.GaussianBlur(cat, (0, 0), 3)
    noisy = np.clip(cat + np.random.default_rng(0).normal(0, 40, cat.shape), 0, 255).astype(np.uint8)
    assert niqe(cat, pristine) < min(niqe(blurred, pristine), niqe(noisy, pristine))


def test_the_fit_finds_the_shape_and_scales_of_what_was_drawn():
    random = np.random.default_rng(0)
    signs = np.where(random.random((1, 400, 400)) < 1 / 3, -1.0, 2.0)  # left scale 1, right 2, weighed by scale
    laplace = random.exponential(1.0, (1, 400, 400)) * signs
    shape, left, right = module._fitted(laplace)
    assert shape[0] == pytest.approx(1.0, abs=0.03)
    assert left[0] == pytest.approx(1.0, abs=0.04)
    assert right[0] == pytest.approx(2.0, abs=0.04)


def test_halving_keeps_lines_and_means():
    ramp = np.tile(np.arange(32.0), (32, 1))
    halved = module._halved(ramp)
    assert halved.shape == (16, 16)
    assert np.allclose(halved[:, 2:-2], np.arange(16)[2:-2] * 2 + 0.5)


def test_even_areas_count_as_even():
    flat = module._normalised(np.full((96, 96), 37.0))
    assert not flat.any()


def test_pictures_of_fewer_than_two_blocks_are_refused(pristine):
    with pytest.raises(ShapeError, match="two blocks of 96x96, got 150x191"):
        niqe(np.zeros((150, 191, 3), np.uint8), pristine)
