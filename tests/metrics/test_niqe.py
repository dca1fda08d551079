import math

import cv2
import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from skimage import data

from ldrestore.errors import ScoreError, ShapeError
from ldrestore.metrics import niqe as module
from ldrestore.metrics.compared_pictures import ComparedPictures
from ldrestore.metrics.measures import value_of
from ldrestore.metrics.niqe import Pristine, niqe
from ldrestore.metrics.protocols import UINT8


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


def test_coefficients_are_equation_1_at_each_place() -> None:
    luma = np.random.default_rng(0).integers(0, 256, (9, 11)).astype(np.float64)
    line = np.array([math.exp(-((place - 3) ** 2) / (2 * (7 / 6) ** 2)) for place in range(7)])
    weights = np.outer(line, line) / line.sum() ** 2
    padded = np.pad(luma, 3, mode="edge")
    for row in range(9):
        for column in range(11):
            around = padded[row : row + 7, column : column + 7]
            mean = (weights * around).sum()
            deviation = math.sqrt((weights * (around - mean) ** 2).sum())
            expected = (luma[row, column] - mean) / (deviation + 1)
            assert module._normalised(luma)[row, column] == pytest.approx(expected, abs=1e-9)


def keys_kernel(distance: float) -> float:
    """Keys 1981, a = -0.5."""
    x = abs(distance)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


@pytest.mark.parametrize("shape", [(10, 14), (96, 2)])
def test_halving_weighs_eight_pixels_by_keys_kernel_and_mirrors_the_border(shape: tuple[int, int]) -> None:
    luma = np.random.default_rng(0).uniform(0, 255, shape)
    halved = luma
    for axis in (0, 1):
        length, lines = halved.shape[axis], []
        around = np.pad(halved, [(8, 8) if side == axis else (0, 0) for side in (0, 1)], mode="symmetric")
        for index in range(length // 2):
            places = range(2 * index - 3, 2 * index + 5)
            weights = [keys_kernel((place - (2 * index + 0.5)) / 2) for place in places]  # between the two pixels
            parts = [weight * around.take(place + 8, axis=axis) for weight, place in zip(weights, places, strict=True)]
            lines.append(sum(parts) / sum(weights))
        halved = np.stack(lines, axis=axis)
    found = module._halved(luma)
    assert found.shape == (shape[0] // 2, shape[1] // 2)
    np.testing.assert_allclose(found, halved, atol=1e-9)


def test_blocks_go_row_by_row_and_features_are_those_of_each_block_alone() -> None:
    values = np.arange(8 * 12).reshape(8, 12)
    blocks = module._blocks(values, 4)
    assert blocks.shape == (6, 4, 4)
    assert np.array_equal(blocks[0], values[:4, :4]) and np.array_equal(blocks[4], values[4:, 4:8])
    noise = np.random.default_rng(1).normal(0, 1, (3, 40, 40))
    together = module._fitted(noise)
    for index in range(3):
        for whole, alone in zip(together, module._fitted(noise[[index]]), strict=True):
            assert whole[index] == pytest.approx(alone[0], abs=1e-12)


@pytest.mark.parametrize("shape", [0.6, 1.0, 2.0, 4.0])
def test_the_fit_finds_the_shape_of_symmetric_values(shape: float) -> None:
    values = scipy.stats.gennorm(shape, scale=3.0).rvs(size=(1, 300, 300), random_state=np.random.default_rng(0))
    found, left, right = module._fitted(values)
    assert found[0] == pytest.approx(shape, rel=0.06)
    assert left[0] == pytest.approx(3.0, rel=0.06) and right[0] == pytest.approx(3.0, rel=0.06)


def test_it_is_the_distance_of_two_gaussians_of_36_features(cat: np.ndarray, pristine: Pristine) -> None:
    picture = cat[:200, :300]
    luma = np.rint(picture[:192, :288] @ np.array([0.298936021293775, 0.587043074451121, 0.114020904255103]))
    features = np.concatenate([module._features(luma, 96), module._features(module._halved(luma), 48)], axis=1)
    assert features.shape == (6, 36) and np.isfinite(features).all()
    difference = pristine.mean - features.mean(axis=0)
    pooled = (pristine.covariance + np.cov(features.T)) / 2
    expected = math.sqrt(difference @ scipy.linalg.pinv(pooled) @ difference)
    assert niqe(picture, pristine) == pytest.approx(expected, rel=1e-3)
    assert niqe(cat[:192, :288], pristine) == niqe(picture, pristine)  # what fills no block is left out


def test_the_number_type_of_a_picture_changes_nothing(cat: np.ndarray, pristine: Pristine) -> None:
    grey = np.repeat(cat[:192, :192, 1:2], 3, axis=2)
    assert niqe(grey, pristine) == pytest.approx(niqe(grey.astype(np.float64), pristine))


@pytest.mark.parametrize("rows", [0, 96])
def test_pictures_of_even_areas_have_no_score_and_say_so_without_a_warning(rows: int, pristine: Pristine) -> None:
    picture = np.full((192, 96, 3), 90, np.uint8)
    picture[:rows] = np.random.default_rng(0).integers(0, 256, (rows, 96, 3))
    assert math.isnan(niqe(picture, pristine))
    pictures = ComparedPictures(picture, picture, UINT8)
    with pytest.raises(ScoreError, match="niqe: is not a number for pictures of 96x192; leave the picture out"):
        value_of("niqe", lambda pair: niqe(pair.result, pristine), pictures)
