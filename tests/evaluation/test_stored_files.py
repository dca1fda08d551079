import numpy as np
import pytest

from ldrestore.errors import ImageWriteError
from ldrestore.evaluation.stored_files import hash_of_photo, store_photo, write_text
from ldrestore.images.files import read_photo
from ldrestore.images.photo import Photo


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_picture_comes_back_to_the_bit(tmp_path, dtype, channels, has_alpha):
    generator = np.random.default_rng(0)
    most = np.iinfo(dtype).max
    pixels = generator.integers(0, most, (9, 14, channels), dtype=dtype, endpoint=True)
    alpha = generator.integers(0, most, (9, 14), dtype=dtype, endpoint=True) if has_alpha else None
    photo = Photo(pixels=pixels, alpha=alpha)
    store_photo(photo, tmp_path / "new" / "a.png")
    found = read_photo(tmp_path / "new" / "a.png")
    assert hash_of_photo(found) == hash_of_photo(photo)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_floats_are_rounded_to_16_bits(tmp_path):
    store_photo(Photo(pixels=np.full((2, 3, 3), 0.5, np.float32), alpha=None), tmp_path / "a.png")
    assert np.unique(read_photo(tmp_path / "a.png").pixels).tolist() == [32768]


def test_what_lies_there_is_left_alone(tmp_path):
    (tmp_path / "a.png").write_bytes(b"there")
    store_photo(Photo(pixels=np.zeros((2, 3, 3), np.uint8), alpha=None), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"there"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageWriteError, match="its folder cannot be made"):
        write_text(tmp_path / "file" / "a.txt", "text")
