import cv2
import numpy as np
import pytest

from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.enlargement import enlarge
from ldrestore.images.photo import Photo


def test_factor_one_is_the_photo_itself(picture):
    photo = Photo(pixels=picture(3, 4, 3))
    assert enlarge(photo, 1) is photo


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("scale", [2, 3])
def test_bands_give_what_the_whole_picture_gives(picture, dtype, scale):
    pixels = picture(BAND_ROWS + 9, 6, 3, dtype=dtype)
    enlarged = enlarge(Photo(pixels=pixels), scale).pixels
    height, width = pixels.shape[:2]
    whole = cv2.resize(pixels.astype(np.float32), (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[pixels.dtype.name]
    assert enlarged.dtype == dtype
    assert np.abs(enlarged - whole.clip(0, top)).max() <= (1e-4 if dtype == np.float32 else 0.51)


def test_flat_colours_and_mattes_stay_flat():
    pixels, alpha = np.full((5, 4, 1), 200, np.uint16), np.full((5, 4), 65535, np.uint16)
    enlarged = enlarge(Photo(pixels=pixels, alpha=alpha), 4)
    assert enlarged.pixels.shape == (20, 16, 1) and (enlarged.pixels == 200).all()
    assert enlarged.alpha.shape == (20, 16) and (enlarged.alpha == 65535).all()


@pytest.mark.parametrize("scale", [2, 4])
def test_faint_colours_do_not_fringe_opaque_ones(scale):
    pixels, alpha = np.zeros((20, 20, 3), np.uint8), np.full((20, 20), 255, np.uint8)
    pixels[:, :10], pixels[:, 10:] = (200, 0, 0), (0, 0, 255)
    alpha[:, 10:] = 3  # nearly nothing is seen of the blue
    enlarged = enlarge(Photo(pixels=pixels, alpha=alpha), scale)
    is_seen = enlarged.alpha > 40
    assert is_seen[:, : 10 * scale - 1].all()
    assert np.abs(enlarged.pixels[is_seen].astype(int) - (200, 0, 0)).max() <= 10
    unweighted = enlarge(Photo(pixels=pixels), scale).pixels
    assert np.abs(unweighted[is_seen].astype(int) - (200, 0, 0)).max() > 50


def test_alpha_changes_nothing_where_all_around_is_opaque(picture):
    pixels, alpha = picture(30, 30, 3), np.full((30, 30), 255, np.uint8)
    alpha[20:, :] = 100
    enlarged, opaque = enlarge(Photo(pixels=pixels, alpha=alpha), 2).pixels, enlarge(Photo(pixels=pixels), 2).pixels
    np.testing.assert_array_equal(enlarged[:34], opaque[:34])
    assert not np.array_equal(enlarged, opaque)


@pytest.mark.parametrize("scale", [2, 3])
def test_alpha_changes_nothing_opaque_from_two_pixels_on(scale):
    rng = np.random.default_rng(0)
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (40, 40, 3), np.uint8), (0, 0), 0.8)
    alpha = np.full((40, 40), 255, np.uint8)
    alpha[:, 20:], alpha[:, 19] = 0, 128
    enlarged, opaque = (
        enlarge(Photo(pixels=pixels, alpha=alpha), scale).pixels,
        enlarge(Photo(pixels=pixels), scale).pixels,
    )
    np.testing.assert_array_equal(enlarged[:, : 17 * scale], opaque[:, : 17 * scale])
    beside = np.abs(enlarged.astype(int) - opaque)[:, 17 * scale : 18 * scale]
    assert beside.max() <= 2  # and overshoots as bicubic interpolation does
