import cv2
import numpy as np
import pytest

from ldrestore.images import transparency
from ldrestore.images.bit_depth import BAND_ROWS
from ldrestore.images.photo import Photo
from ldrestore.images.transparency import fill_hidden, restore_hidden


def ramp(height, width, dtype):
    """Smooth colours (H, W, 3)."""
    rows, columns = np.mgrid[0:height, 0:width]
    values = np.stack([rows / height, columns / width, 1 - rows / height], axis=2)
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[np.dtype(dtype).name]
    return (values * top).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("size", "most_inpainted"),
    [((64, 64), 2**18), ((1, 9), 2**18), ((5, 1), 2**18), ((1, 400), 2**18), ((2 * BAND_ROWS + 9, 61), 2**11)],
)
def test_stored_colours_do_not_matter_and_visible_ones_stay(dtype, size, most_inpainted, monkeypatch):
    monkeypatch.setattr(transparency, "MOST_INPAINTED", most_inpainted)
    white = {"uint8": 255, "uint16": 65535, "float32": 1}[np.dtype(dtype).name]
    colours, alpha = ramp(*size, dtype), np.full(size, white, dtype)
    alpha[size[0] // 3 : size[0] // 2 + 1, size[1] // 3 : size[1] // 2 + 1] = 0
    alpha[np.random.default_rng(0).random(size) < 0.5] = 0
    alpha[0, 0] = white  # faint or not, it is seen
    filled = []
    for hidden in (0, white):
        stored = colours.copy()
        stored[alpha == 0] = hidden
        filled.append(fill_hidden(Photo(pixels=stored, alpha=alpha)).pixels)
        np.testing.assert_array_equal(filled[-1][alpha > 0], colours[alpha > 0])
    np.testing.assert_array_equal(*filled)
    assert filled[0].dtype == dtype


def test_holes_take_the_colours_beside_them():
    colours, alpha = ramp(128, 128, np.float32), np.ones((128, 128), np.float32)
    alpha[40:80, 30:90] = 0
    stored = colours.copy()
    stored[alpha == 0] = 0
    filled = fill_hidden(Photo(pixels=stored, alpha=alpha)).pixels
    assert np.abs(filled - colours).max() < 0.2
    edge = np.s_[40, 30:90]
    assert np.abs(filled[edge] - colours[edge]).max() < 0.05


def scene():
    """A disc of a chequered picture, the rest hidden: colours (128, 128, 3) and alpha, uint8."""
    rows, columns = np.mgrid[0:128, 0:128]
    colours = ramp(128, 128, np.uint8)
    colours[(rows // 16 + columns // 16) % 2 == 0] = 40
    alpha = np.where((rows - 64) ** 2 + (columns - 64) ** 2 < 40**2, 255, 0).astype(np.uint8)
    colours[alpha == 0] = 0
    return colours, alpha


def test_holes_are_filled_as_inpainting_fills_them():
    colours, alpha = scene()
    filled = fill_hidden(Photo(pixels=colours, alpha=alpha)).pixels.astype(int)
    inpainted = cv2.inpaint(colours, (alpha == 0).astype(np.uint8), 5, cv2.INPAINT_TELEA).astype(int)
    difference = np.abs(filled - inpainted)[alpha == 0]
    assert difference.mean() < 1


def test_larger_holes_are_filled_much_alike(monkeypatch):
    colours, alpha = scene()
    filled = fill_hidden(Photo(pixels=colours, alpha=alpha)).pixels.astype(int)
    monkeypatch.setattr(transparency, "MOST_INPAINTED", 1000)
    roughly = fill_hidden(Photo(pixels=colours, alpha=alpha)).pixels.astype(int)
    assert np.abs(roughly - filled)[alpha == 0].mean() < 16
    assert np.abs(roughly.mean(axis=(0, 1)) - filled.mean(axis=(0, 1))).max() < 4  # what a look at the whole sees


def test_a_picture_of_which_all_or_nothing_is_seen_is_itself():
    pixels = np.zeros((4, 4, 3), np.uint8)
    for alpha in (None, np.full((4, 4), 7, np.uint8), np.zeros((4, 4), np.uint8)):
        photo = Photo(pixels=pixels, alpha=alpha)
        assert fill_hidden(photo) is photo


def test_hidden_colours_come_back():
    alpha = np.array([[0, 9]], np.uint8)
    photo = Photo(pixels=np.array([[[7], [8]]], np.uint8), alpha=alpha)
    restored = np.array([[[1], [2]]], np.uint8)
    restore_hidden(restored, photo)
    np.testing.assert_array_equal(restored.ravel(), [7, 2])
    larger = np.ones((2, 4, 1), np.uint8)
    restore_hidden(larger, photo)
    assert (larger == 1).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_deeper_picture_is_filled_as_the_one_of_8_bits(rng, dtype):
    pixels = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    alpha = np.full((40, 50), 255, np.uint8)
    alpha[5:30, 8:40] = 0
    factor = dtype(257 if dtype == np.uint16 else 1 / 255)
    deep = Photo(pixels=pixels.astype(dtype) * factor, alpha=alpha.astype(dtype) * factor)
    expected = fill_hidden(Photo(pixels=pixels, alpha=alpha)).pixels.astype(dtype) * factor
    np.testing.assert_allclose(fill_hidden(deep).pixels, expected, rtol=1e-6)


def test_what_is_hidden_in_a_dark_picture_is_filled_in_finer_levels(rng):
    pixels = rng.integers(900, 1000, (40, 50, 3)).astype(np.uint16)  # of 65535: not four levels of 255
    alpha = np.full((40, 50), 65535, np.uint16)
    alpha[5:30, 8:40] = 0
    filled = fill_hidden(Photo(pixels=pixels, alpha=alpha)).pixels[5:30, 8:40]
    assert filled.min() > 850 and filled.max() < 1050
    assert len(np.unique(filled)) > 10
