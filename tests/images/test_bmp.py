import struct

import pytest
from PIL import Image

from ldrestore.errors import MetadataLossWarning
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo
from ldrestore.images.metadata import FileBlocks
from ldrestore.images.photo import Photo
from ldrestore.images.resolution import resolution_of


def stated(path):
    """Pixels a metre in the header."""
    return struct.unpack_from("<ii", path.read_bytes(), 38)


def bmp(path, pixels, x, y):
    Image.fromarray(pixels).save(path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<ii", content, 38, x, y)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("x", "y"), [(3780, 3780), (2835, 2834), (1, 1), (39_370_079, 5)])
def test_pixels_a_metre_come_through_as_they_are(tmp_path, pixels, x, y):
    path = bmp(tmp_path / "a.bmp", pixels, x, y)
    with Image.open(path) as image:
        photos = (read_photo(path), to_photo(image))
    for photo in photos:
        assert photo.blocks.resolution == resolution_of(x, y, "metre")
        photo.save(tmp_path / "b.bmp", overwrite=True)
        assert stated(tmp_path / "b.bmp") == (x, y)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0, 3780), (3780, 0), (-5, 3)])
def test_numbers_that_are_not_positive_state_no_resolution(tmp_path, pixels, x, y):
    path = bmp(tmp_path / "a.bmp", pixels, x, y)
    with Image.open(path) as image:
        photos = (read_photo(path), to_photo(image))
    for photo in photos:
        assert photo.blocks.resolution is None
        photo.save(tmp_path / "b.bmp", overwrite=True)
        assert stated(tmp_path / "b.bmp") == (0, 0)
        photo.save(tmp_path / "b.png", overwrite=True)
        assert b"pHYs" not in (tmp_path / "b.png").read_bytes()


def test_a_shape_of_pixels_without_a_unit_is_no_resolution_and_told(tmp_path, pixels):
    photo = Photo(pixels=pixels, blocks=FileBlocks(resolution=resolution_of(1, 2, "none")))
    with pytest.warns(MetadataLossWarning, match="the shape of pixels of no stated size, which a BMP cannot hold"):
        photo.save(tmp_path / "a.bmp")
    assert stated(tmp_path / "a.bmp") == (0, 0)


def test_a_resolution_beyond_the_header_is_the_most_it_holds(tmp_path, pixels):
    photo = Photo(pixels=pixels, blocks=FileBlocks(resolution=resolution_of(2e9, 300, "inch")))
    photo.save(tmp_path / "a.bmp")
    assert stated(tmp_path / "a.bmp") == (2**31 - 1, 11811)
