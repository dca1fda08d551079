import numpy as np
import pytest

from ldrestore.evaluation.picture_memory import PictureMemory
from ldrestore.images.inputs import to_photo


@pytest.fixture
def photo():
    return to_photo(np.zeros((4, 5, 3), np.uint8))


def test_the_first_pictures_that_fit_are_kept(photo):
    memory = PictureMemory(2 * photo.pixels.nbytes)
    for key in "abac":
        memory.keep(key, photo)
    assert memory.get("a") is not None and memory.get("b") is not None and memory.get("c") is None


def test_alpha_counts_and_is_kept_and_nothing_else_is(photo):
    clear = photo.replace(pixels=photo.pixels, alpha=np.zeros((4, 5), np.uint8))
    small, large = PictureMemory(photo.pixels.nbytes), PictureMemory()
    for memory in (small, large):
        memory.keep("a", clear)
    assert small.get("a") is None
    assert np.array_equal(large.get("a").alpha, clear.alpha)


def test_floats_are_read_from_the_file_that_rounds_them(photo):
    memory = PictureMemory()
    memory.keep("a", photo.replace(pixels=photo.pixels.astype(np.float32), alpha=None))
    assert memory.get("a") is None
