import numpy as np
import pytest

from ldrestore.errors import ShapeError
from ldrestore.images.photo import Photo
from ldrestore.metrics.compared_pictures import bring_together
from ldrestore.metrics.protocols import PROTOCOLS, UINT8


def photo(shape=(20, 24, 3), dtype=np.uint8, seed=0, **others):
    limit = 255 if dtype == np.uint8 else 65535
    return Photo(pixels=np.random.default_rng(seed).integers(0, limit, shape).astype(dtype), **others)


def test_both_are_cut_at_their_centres_to_the_multiple():
    picture = photo((37, 50, 3))
    pictures = bring_together(picture, picture, PROTOCOLS["promptir"])
    assert np.array_equal(pictures.result, picture.pixels[2:34, 1:49])


def test_borders_and_luma_are_for_distortion_alone():
    pictures = bring_together(photo(), photo(seed=1), PROTOCOLS["super_resolution_x4"])
    assert pictures.result.shape == (20, 24, 3)
    assert [side.shape for side in pictures.for_distortion()] == [(12, 16, 1)] * 2


def test_sixteen_bits_against_eight_are_said_and_brought_to_one_scale():
    deep = photo(dtype=np.uint16)
    shallow = Photo(pixels=np.rint(deep.pixels / 257).astype(np.uint8))
    with pytest.warns(UserWarning, match="the result is uint16 and the ground truth uint8; both are rounded to 8"):
        pictures = bring_together(deep, shallow, UINT8)
    assert np.array_equal(pictures.result, pictures.gt)
    with pytest.warns(UserWarning, match="scaled to one white"):
        pictures = bring_together(deep, shallow, PROTOCOLS["promptir"])
    assert 0 < np.abs(pictures.result - pictures.gt).max() < 0.51


def test_transparency_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="^transparency is not compared"):
        bring_together(photo(alpha=np.zeros((20, 24), np.uint8)), photo(), UINT8)


def test_grey_pictures_are_compared_as_three_equal_colours_and_not_with_coloured_ones():
    grey = photo((20, 24, 1))
    assert bring_together(grey, grey, UINT8).gt.shape == (20, 24, 3)
    with pytest.raises(ShapeError, match="the result is grey and the ground truth RGB; save both alike"):
        bring_together(grey, photo(), UINT8)


def test_other_sizes_and_what_a_protocol_leaves_nothing_of_are_refused():
    with pytest.raises(ShapeError, match="the result has 24x20 pixels and the ground truth 24x21"):
        bring_together(photo(), photo((21, 24, 3)), UINT8)
    with pytest.raises(ShapeError, match="smaller than the multiple 16"):
        bring_together(photo((12, 40, 3)), photo((12, 40, 3)), PROTOCOLS["promptir"])
    small = bring_together(photo((8, 40, 3)), photo((8, 40, 3)), PROTOCOLS["super_resolution_x4"])
    with pytest.raises(ShapeError, match="nothing is left"):
        small.for_distortion()
