import numpy as np
import pytest
from PIL import Image, ImageOps

from ldrestore.images.orientation import upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_turn_as_pillow_turns_them(orientation, rng):
    stored = rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright(stored, orientation), expected)
    np.testing.assert_array_equal(upright(stored[..., 0], orientation), expected[..., 0])
