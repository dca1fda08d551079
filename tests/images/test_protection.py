"""Masks that keep parts of a picture as they came."""

import numpy as np
import pytest

from ldrestore.errors import InputError
from ldrestore.images.photo import Photo
from ldrestore.images.protection import keep_protected, read_masks


def grey(*values):
    """A mask of one row."""
    return Photo(pixels=np.array(values, np.uint8)[None, :, None])


@pytest.fixture
def photos():
    return [Photo(pixels=np.zeros((2, 3, 3), np.uint8)), Photo(pixels=np.zeros((4, 5, 3), np.uint8))]


def test_white_keeps_the_original_and_black_the_result_to_the_bit():
    original = np.array([[[10, 20, 30], [10, 20, 30]]], np.uint8)
    restored = np.array([[[99, 98, 97], [99, 98, 97]]], np.uint8)
    expected = np.stack([original[0, 0], restored[0, 1]])[None]
    found = keep_protected(restored, original, grey(255, 0))
    assert found is restored and np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_blends_and_integers_are_rounded(dtype):
    original, restored = np.full((1, 1, 1), 0, dtype), np.full((1, 1, 1), 255, dtype)
    assert keep_protected(restored, original, grey(51)).item() == 204  # a fifth of the original


def test_floats_stay_floats():
    original, restored = np.zeros((1, 2, 1), np.float32), np.ones((1, 2, 1), np.float32)
    found = keep_protected(restored, original, grey(255, 102))
    np.testing.assert_allclose(found.ravel(), [0, 0.6], atol=1e-6)
    assert found.dtype == np.float32


def test_a_mask_of_an_enlarged_picture_rules_blocks_of_pixels():
    original, restored = np.zeros((4, 8, 1), np.uint8), np.full((4, 8, 1), 9, np.uint8)
    mask = Photo(pixels=np.array([[255, 0], [0, 255]], np.uint8).repeat(2, axis=1)[:, :, None])
    found = keep_protected(restored, original, mask)[:, :, 0]
    assert np.array_equal(found[:2], [[0] * 4 + [9] * 4] * 2) and np.array_equal(found[2:], [[9] * 4 + [0] * 4] * 2)


def test_without_a_mask_nothing_changes():
    restored = np.full((2, 2, 3), 7, np.uint8)
    assert keep_protected(restored, np.zeros_like(restored), None) is restored and (restored == 7).all()


def test_one_mask_is_for_all_pictures_and_a_list_has_one_for_each(photos):
    same = [photos[0], photos[0]]
    boolean = np.array([[True, False, True], [False] * 3])
    first, second = read_masks(boolean, same)
    assert first.pixels[:, :, 0].tolist() == [[255, 0, 255], [0, 0, 0]] and np.array_equal(first.pixels, second.pixels)
    own, none = read_masks([boolean, None], photos)
    assert own.height == 2 and none is None
    assert read_masks(None, photos) == [None, None]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([None], "expected one mask for each of the 2 pictures, got 1"),
        (np.zeros((2, 3), bool), "a mask must have its picture's size, 5x4, got 3x2"),
        ([None, np.zeros((4, 5, 4), np.uint8)], "a mask must be opaque"),
    ],
)
def test_masks_that_do_not_fit_are_refused(photos, mask, message):
    with pytest.raises(InputError, match=message):
        read_masks(mask, photos)
