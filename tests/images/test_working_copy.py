import numpy as np
import pytest

from ldrestore.images.enlargement import enlarge
from ldrestore.images.photo import Photo
from ldrestore.images.working_copy import like_input, working_copy


def test_an_opaque_colour_picture_is_its_own_working_copy(picture):
    photo = Photo(pixels=picture(6, 5, 3))
    assert working_copy(photo) is photo
    np.testing.assert_array_equal(working_copy(photo, scale=2).pixels, enlarge(photo, 2).pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_three_equal_channels_are_shown_as_one_and_come_back_as_three(picture, dtype):
    grey = picture(300, 5, 1, dtype=dtype)
    photo = Photo(pixels=grey.repeat(3, axis=2))
    shown = working_copy(photo)
    np.testing.assert_array_equal(shown.pixels, grey)
    back = like_input(shown, photo)
    np.testing.assert_array_equal(back.pixels, photo.pixels)
    coloured = photo.pixels.copy()
    coloured[-1, -1, 2] = 1 if coloured[-1, -1, 2] == 0 else 0
    assert working_copy(Photo(pixels=coloured)).num_channels == 3


def test_hidden_colours_make_no_grey_picture_coloured():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (20, 30, 1), np.uint8).repeat(3, axis=2)
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[5:9, 5:9] = 0
    grey[alpha == 0] = (255, 0, 90)
    photo = Photo(pixels=grey, alpha=alpha)
    shown = working_copy(photo)
    assert shown.num_channels == 1
    result = like_input(shown, photo)
    np.testing.assert_array_equal(result.pixels, grey)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_colours_under_full_transparency_change_nothing_that_is_seen(picture, scale):
    alpha = np.full((40, 30), 255, np.uint8)
    alpha[10:25, 5:20] = 0
    pictures = []
    for hidden in (0, 255):
        pixels = picture(40, 30, 3)
        pixels[alpha == 0] = hidden
        photo = Photo(pixels=pixels, alpha=alpha)
        shown = working_copy(photo, scale=scale)
        pictures.append(shown.pixels.copy())
        if scale == 1:
            np.testing.assert_array_equal(like_input(shown, photo).pixels, pixels)
    np.testing.assert_array_equal(*pictures)
