"""The one place where a decoded picture becomes a photo."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import CorruptImageError, ImageTooLargeError, MetadataLossWarning, PixelRangeError
from ldrestore.images.decoded import Decoded
from ldrestore.images.metadata import Metadata
from ldrestore.images.photo_making import decoder_errors, make_photo, size_check

PATH = Path("a.png")


def photo_of(pixels, *, alpha=None, clip=False, **facts):
    decoded = Decoded(pixels=pixels, alpha=alpha, metadata=Metadata(), bit_depth=8, **facts)
    return make_photo(decoded, path=PATH, file_format="PNG", clip=clip)


def floats(*values):
    return np.array(values, np.float64).reshape(1, -1, 1)


def test_pixels_and_alpha_are_turned_together():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    photo = photo_of(pixels, alpha=pixels[:, :, 0], orientation=6)  # to be turned clockwise
    assert photo.pixels[:, :, 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert np.array_equal(photo.alpha, photo.pixels[:, :, 0]) and photo.pixels.flags["C_CONTIGUOUS"]


def test_further_frames_losses_and_damages_are_warned_of_and_each_loss_once():
    facts = {"num_frames": 3, "losses": ("a thumbnail", "a thumbnail"), "damages": ("the profile is cut off",)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photo_of(np.zeros((1, 1, 1), np.uint8), **facts)
    messages = [str(one.message) for one in caught]
    assert messages.count("a thumbnail: left out of the result") == 1
    assert any("has 3 frames; only the first is used" in message for message in messages)
    assert any("damaged metadata are left out (the profile is cut off)" in message for message in messages)
    assert [one.category for one in caught].count(MetadataLossWarning) == 1


def test_floats_become_float32_and_stay_in_their_range():
    photo = photo_of(floats(0, 0.25, 1), alpha=np.ones((1, 3)))
    assert photo.pixels.dtype == photo.alpha.dtype == np.float32
    for values in (floats(0, 1.5), floats(-0.1, 1), floats(np.nan, 0)):
        with pytest.raises(PixelRangeError, match=r"float pixels must lie in \[0, 1\]"):
            photo_of(values)
    assert photo_of(floats(-0.5, 0.5, 1.5), clip=True).pixels.ravel().tolist() == [0, 0.5, 1]
    with pytest.raises(PixelRangeError):
        photo_of(floats(np.inf, 0), clip=True)


def test_what_is_white_in_32_bits_is_white_and_the_next_double_is_told_from_it():
    assert photo_of(floats(0, 1 + 4e-16, 1 + 2**-24)).pixels.ravel().tolist() == [0, 1, 1]
    with pytest.raises(PixelRangeError, match=r"got \[0, 1\.00000006\]; rescale them, or clip them"):
        photo_of(floats(0, np.nextafter(1 + 2**-24, 2)))


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
def test_colours_that_were_multiplied_by_alpha_are_divided_by_it(dtype, white):
    alpha = np.array([[white, white / 5, 0]]).astype(dtype)
    colours = (np.array([[0.4, 0.4 / 5, 0]]) * white).round(6).astype(dtype)[:, :, None]
    found = photo_of(colours, alpha=alpha, is_multiplied=True).pixels.ravel()
    np.testing.assert_allclose(found[:2], 0.4 * white, atol=0.01 * white)
    assert found[2] == 0


def test_a_size_is_refused_as_soon_as_the_header_tells_it():
    check = size_check(PATH, max_pixels=12)
    check(3, 4)
    with pytest.raises(ImageTooLargeError, match="announces 13x1 pixels, more than the limit of 12"):
        check(13, 1)
    with pytest.raises(CorruptImageError, match="announces 0x4 pixels"):
        check(0, 4)


@pytest.mark.parametrize("error", [KeyError("tag"), SyntaxError("broken PNG"), ValueError(), IndexError("x")])
def test_whatever_a_decoder_raises_is_a_damaged_file(error):
    with pytest.raises(CorruptImageError, match="the file is damaged or cut off") as caught, decoder_errors(PATH):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [MemoryError("no"), Image.DecompressionBombError("large")])
def test_what_is_too_large_says_so(error):
    with pytest.raises(ImageTooLargeError, match="the picture is too large"), decoder_errors(PATH):
        raise error


def test_typed_errors_and_warnings_that_are_errors_pass_as_they_are():
    for error in (CorruptImageError(PATH, "reason", "remedy"), UserWarning("as an error")):
        with pytest.raises(type(error)) as caught, decoder_errors(PATH):
            raise error
        assert caught.value is error
