import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import ShapeError
from ldrestore.images.photo import Photo
from ldrestore.metrics import score
from ldrestore.metrics.consistency import beside_input, shrunk
from ldrestore.metrics.protocols import PROTOCOLS, UINT8
from ldrestore.metrics.psnr import psnr


def enlarged(picture, factor):
    return np.asarray(Image.fromarray(picture).resize([side * factor for side in picture.shape[1::-1]], Image.BICUBIC))


def test_an_enlargement_that_says_nothing_new_is_consistent_and_a_shifted_one_is_not(cat):
    lq = np.asarray(Image.fromarray(cat).resize((112, 75), Image.BICUBIC))
    result = enlarged(lq, 4)
    faithful = score(result, lq, ["consistency"])["consistency"]
    assert faithful > 35
    assert score(np.roll(result, 8, axis=1), lq, ["consistency"])["consistency"] < faithful - 8


def test_shrinking_is_that_of_pillow_s_bicubic(cat):
    expected = np.asarray(Image.fromarray(cat).resize((112, 75), Image.BICUBIC), np.float64)
    ours = np.clip(shrunk(cat.astype(np.float64), 75, 112), 0, 255)
    assert np.abs(ours - expected).max() < 1.5  # Pillow rounds after each direction


def test_at_scale_one_it_is_the_psnr_to_the_input_and_equal_pictures_are_infinite(cat, noisy):
    assert score(noisy, cat, ["consistency"])["consistency"] == pytest.approx(psnr(noisy, cat))
    assert score(cat, cat, ["consistency"])["consistency"] == np.inf


def test_borders_and_multiples_of_finished_pictures_are_left_out_and_the_colour_stays(cat):
    pictures = beside_input(Photo(pixels=cat), Photo(pixels=cat[:75, :113]), PROTOCOLS["super_resolution_x4"])
    assert pictures.result.shape == (75, 113, 3)
    assert [side.shape for side in pictures.for_distortion()] == [(75, 113, 1)] * 2


def test_a_result_smaller_than_its_input_is_refused(cat):
    with pytest.raises(ShapeError, match=r"the result has 451x200 pixels and the input 451x300"):
        beside_input(Photo(pixels=cat[:200]), Photo(pixels=cat), UINT8)


def test_ground_truth_and_input_metrics_stand_side_by_side(cat, noisy):
    both = score(noisy, cat, ["consistency", "psnr"])
    assert list(both) == ["consistency", "psnr"] and both["consistency"] == pytest.approx(both["psnr"])


def literal_shrunk(line: np.ndarray, count: int) -> np.ndarray:
    """One line to `count` values: Keys' cubic, a = -0.5, as wide as the factor, cut at the ends and scaled to 1."""
    factor, values = len(line) / count, []
    for index in range(count):
        centre = (index + 0.5) * factor
        weights = []
        for place in range(len(line)):
            x = abs(place + 0.5 - centre) / factor
            near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            weights.append(near if x <= 1 else far if x < 2 else 0.0)
        values.append(np.dot(weights, line) / sum(weights))
    return np.array(values)


@pytest.mark.parametrize(("size", "small"), [((12, 16), (3, 4)), ((13, 9), (5, 4))])
def test_shrinking_is_keys_cubic_over_the_whole_factor(size: tuple[int, int], small: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (*size, 1))
    rows = np.stack([literal_shrunk(row, small[1]) for row in picture[..., 0]])
    expected = np.stack([literal_shrunk(column, small[0]) for column in rows.T], axis=1)
    np.testing.assert_allclose(shrunk(picture, *small)[..., 0], expected, atol=1e-3)


def test_nothing_of_it_is_rounded_whatever_the_protocol_rounds(cat: np.ndarray) -> None:
    pictures = beside_input(Photo(pixels=cat), Photo(pixels=cat[:75, :113]), PROTOCOLS["restormer_derain"])
    assert pictures.result.dtype == np.float64
    luma, _ = pictures.for_distortion()
    assert np.abs(luma - np.rint(luma)).max() > 0.4


def test_a_grey_enlargement_is_consistent_with_a_grey_input_alone(cat: np.ndarray) -> None:
    grey = cat[:80, :80, :1]
    assert score(grey, grey, ["consistency"])["consistency"] == np.inf
    with pytest.raises(ShapeError, match="the result is grey and the ground truth RGB"):
        beside_input(Photo(pixels=grey), Photo(pixels=cat[:40, :40]), UINT8)
