"""What a browser is shown of a picture."""

import numpy as np
import pytest
from PIL import Image

from ldrestore.images.files import read_photo
from ldrestore.images.photo import Photo
from ldrestore.serving.previews import LOSSLESS_PIXELS, write_preview


def photo_of(height, width, *, dtype=np.uint8, channels=3, **parts):
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype)
    return Photo(pixels=values, **parts)


def test_a_small_picture_is_shown_to_the_bit(tmp_path) -> None:
    photo = photo_of(20, 33)
    path = write_preview(photo, tmp_path / "p", longest=1000)
    assert path.name == "p.png"
    assert np.array_equal(read_photo(path).pixels, photo.pixels)


@pytest.mark.parametrize(
    ("size", "longest", "enlarged", "shown"),
    [
        ((400, 100), 200, 1, (200, 50)),
        ((100, 400), 200, 1, (50, 200)),
        ((40, 10), 200, 4, (160, 40)),
        ((40, 10), 100, 4, (100, 25)),
        ((1, 3000), 200, 1, (1, 200)),  # a line stays a line
    ],
)
def test_a_preview_fits_and_keeps_its_proportions(tmp_path, size, longest, enlarged, shown) -> None:
    photo = photo_of(size[1], size[0])
    with Image.open(write_preview(photo, tmp_path / "p", longest=longest, enlarged=enlarged)) as image:
        assert image.size == shown


def test_large_previews_are_small_files_unless_they_are_transparent(tmp_path) -> None:
    side = int(LOSSLESS_PIXELS**0.5) + 1
    plain = Photo(pixels=np.zeros((side, side, 3), np.uint8))
    clear = Photo(pixels=plain.pixels, alpha=np.zeros((side, side), np.uint8))
    assert write_preview(plain, tmp_path / "plain", longest=side).suffix == ".jpg"
    assert write_preview(clear, tmp_path / "clear", longest=side).suffix == ".png"


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_shown_as_8_in_the_same_tones(tmp_path, channels) -> None:
    photo = Photo(pixels=np.full((8, 8, channels), 32_896, np.uint16))
    with Image.open(write_preview(photo, tmp_path / "p", longest=100)) as image:
        assert image.mode in ("L", "RGB") and set(np.unique(np.asarray(image))) == {128}


def test_a_colour_profile_goes_along(tmp_path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(write_preview(photo_of(8, 8, icc_profile=profile), tmp_path / "p", longest=100)) as image:
        assert image.info["icc_profile"] == profile
