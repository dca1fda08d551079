import numpy as np
import pytest

from ldrestore.errors import ShapeError
from ldrestore.images.photo import Photo
from ldrestore.metrics.compared_pictures import bring_together, bring_together_values
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


@pytest.mark.parametrize(("size", "rows", "columns"), [((33, 47), (0, 32), (7, 39)), ((17, 16), (0, 16), (0, 16))])
def test_an_odd_rest_is_cut_one_more_at_the_end(
    size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    picture = photo((*size, 3))
    cut = bring_together(picture, picture, PROTOCOLS["adair"]).gt
    assert np.array_equal(cut, picture.pixels[slice(*rows), slice(*columns)])


@pytest.mark.parametrize("name", ["uint8", "instructir"])
def test_sixteen_bits_are_rounded_or_kept_as_the_protocol_says(name: str) -> None:
    deep = photo((20, 24, 3), np.uint16)
    values = bring_together(deep, deep, PROTOCOLS[name]).result
    exact = deep.pixels.astype(np.float64) / 65535 * 255
    exact = exact[2:18, 4:20] if name == "instructir" else exact
    if name == "uint8":
        assert values.dtype == np.uint8 and np.abs(values - exact).max() <= 0.5
    else:
        assert values.dtype == np.float64 and np.abs(values - exact).max() < 1e-9


def test_white_is_255_at_every_depth() -> None:
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535)):
        picture = Photo(pixels=np.full((16, 16, 3), white, dtype))
        for name in ("uint8", "promptir"):
            assert (bring_together(picture, picture, PROTOCOLS[name]).result == 255).all()


@pytest.mark.parametrize("name", ["osediff", "unildiff", "restormer_derain", "super_resolution_x2"])
def test_luma_is_one_channel_of_the_inner_picture_in_its_range(name: str) -> None:
    ends = np.zeros((16, 16, 3), np.uint8)
    ends[:, 8:] = 255
    luma, _ = bring_together(Photo(pixels=ends), Photo(pixels=ends), PROTOCOLS[name]).for_distortion()
    border = PROTOCOLS[name].border
    assert luma.shape == (16 - 2 * border, 16 - 2 * border, 1)
    low, high = (0, 255) if PROTOCOLS[name].colour == "y_full" else (16, 235)
    assert luma[0, 0, 0] == pytest.approx(low) and luma[0, -1, 0] == pytest.approx(high)


def test_values_of_unlike_sizes_are_made_and_unlike_kinds_refused() -> None:
    result, gt = bring_together_values(photo((20, 24, 3)), photo((9, 8, 3)), UINT8)
    assert (result.shape, gt.shape) == ((20, 24, 3), (9, 8, 3))
    with pytest.raises(ShapeError, match="the result is RGB and the ground truth grey"):
        bring_together_values(photo(), photo((20, 24, 1)), UINT8)


def test_warnings_name_the_picture_that_they_are_of() -> None:
    with pytest.warns(UserWarning, match=r"^a\.png: transparency is not compared"):
        bring_together(photo(), photo(alpha=np.zeros((20, 24), np.uint8)), UINT8, name="a.png")
