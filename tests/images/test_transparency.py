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
    ("size", "most_mirrored"),
    [((64, 64), 2**21), ((1, 9), 2**21), ((5, 1), 2**21), ((1, 400), 2**21), ((2 * BAND_ROWS + 9, 61), 2**11)],
)
def test_stored_colours_do_not_matter_and_visible_ones_stay(dtype, size, most_mirrored, monkeypatch):
    monkeypatch.setattr(transparency, "MOST_MIRRORED", most_mirrored)
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
    assert np.abs(filled - colours).max() <= 40 / 128  # at most twice the distance to the edge, 20 pixels
    edge = np.s_[40, 30:90]
    assert np.abs(filled[edge] - colours[edge]).max() < 0.05


def half(noise):
    """A grey picture of noise whose right half is hidden: Photo of (96, 96)."""
    pixels = np.clip(128 + np.random.default_rng(0).normal(0, noise, (96, 96, 1)), 0, 255).astype(np.uint8)
    alpha = np.full((96, 96), 255, np.uint8)
    alpha[:, 48:] = 0
    pixels[alpha == 0] = 0
    return Photo(pixels=pixels, alpha=alpha)


@pytest.mark.parametrize("most_mirrored", [2**21, 96 * 96 // 16])
def test_noise_goes_on_where_nothing_is_seen(most_mirrored, monkeypatch):
    monkeypatch.setattr(transparency, "MOST_MIRRORED", most_mirrored)
    photo = half(noise=20)
    filled = fill_hidden(photo).pixels
    assert filled[:, 48:].std() == pytest.approx(filled[:, :48].std(), rel=0.05)
    steps = np.abs(np.diff(filled[..., 0].astype(int), axis=1)).mean(axis=0)
    assert steps[50:].mean() == pytest.approx(steps[:46].mean(), rel=0.1)


def test_a_hole_is_a_mirror_of_what_lies_beside_it():
    photo = half(noise=20)
    filled = fill_hidden(photo).pixels
    np.testing.assert_array_equal(filled[:, 48:94], filled[:, 46:0:-1])  # the seen column 47 is the mirror


def test_a_hole_deeper_than_what_is_seen_gets_it_again():
    pixels, alpha = np.zeros((1, 40, 1), np.uint8), np.zeros((1, 40), np.uint8)
    pixels[0, :3, 0], alpha[0, :3] = [10, 20, 30], 255
    filled = fill_hidden(Photo(pixels=pixels, alpha=alpha)).pixels.ravel()
    assert set(filled[3:]) == {10, 20, 30}
    assert filled[3:5].tolist() == [20, 10]


@pytest.mark.parametrize("is_whole", [True, False])
def test_larger_pictures_are_filled_block_by_block_from_what_is_seen_alone(is_whole, rng, monkeypatch):
    pixels = rng.integers(100, 200, (70, 90, 3)).astype(np.uint8)
    alpha = np.full((70, 90), 255, np.uint8)
    if is_whole:
        alpha[20:50, 30:90] = 0
    else:
        alpha[rng.random(alpha.shape) < 0.9] = 0  # no block is wholly seen
    pixels[alpha == 0] = 0
    monkeypatch.setattr(transparency, "MOST_MIRRORED", 400)
    filled = fill_hidden(Photo(pixels=pixels, alpha=alpha)).pixels
    assert filled.min() >= 100
    np.testing.assert_array_equal(filled[alpha > 0], pixels[alpha > 0])


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
