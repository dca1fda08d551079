import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import ShapeError
from ldrestore.images.bit_depth import to_8_bit
from ldrestore.images.photo import Photo


def test_every_code_value_rounds_to_the_nearest_8_bit_level():
    deep = np.arange(65536, dtype=np.uint16).reshape(1024, 64)
    np.testing.assert_array_equal(to_8_bit(deep), np.rint(deep / 257.0).astype(np.uint8))
    levels = np.array([0.0, 0.49, 0.51, 254.49, 254.51, 255.0], np.float32) / np.float32(255)
    np.testing.assert_array_equal(to_8_bit(levels), [0, 0, 1, 254, 255, 255])
    eight = np.zeros(3, np.uint8)
    assert to_8_bit(eight) is eight


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("channels", "has_alpha", "mode"), [(1, False, "L"), (1, True, "LA"), (3, False, "RGB"), (3, True, "RGBA")]
)
def test_views_have_the_mode_of_the_picture(dtype, channels, has_alpha, mode):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    photo = Photo(
        pixels=np.full((4, 6, channels), white, dtype), alpha=np.full((4, 6), white, dtype) if has_alpha else None
    )
    view = photo.to_pil()
    assert (view.mode, view.size) == (mode, (6, 4))
    assert np.asarray(view).min() == 255
    assert (photo.height, photo.width, photo.num_channels, photo.max_value) == (4, 6, channels, white)


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 2), np.uint8), None),
        (np.zeros((4, 4, 3), np.float64), None),
        (np.zeros((0, 4, 3), np.uint8), None),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16)),
    ],
)
def test_wrong_arrays_are_refused(pixels, alpha):
    with pytest.raises(ShapeError, match="must be"):
        Photo(pixels=pixels, alpha=alpha)


def test_other_pixels_keep_the_metadata_and_save_writes(tmp_path, profile):
    photo = Photo(pixels=np.zeros((4, 4, 3), np.uint8), icc_profile=profile, format="PNG")
    other = photo.replace(pixels=np.ones((2, 2, 3), np.uint8), alpha=None)
    assert (other.icc_profile, other.height) == (profile, 2)
    other.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (2, 2)
