import cv2
import numpy as np
import pytest

from ldrestore.errors import ConfigError
from ldrestore.evaluation.benchmark_files import BUILTIN_FOLDER
from ldrestore.evaluation.leaks import difference_hash, find_leaks
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo


@pytest.fixture
def train(tmp_path):
    """A folder with one picture of the library as it is, another one shrunk as JPEG, and something else."""
    folder = tmp_path / "train"
    (folder / "b").mkdir(parents=True)
    read_photo(BUILTIN_FOLDER / "coffee.png").save(folder / "b" / "same.png")
    pixels = cv2.resize(read_photo(BUILTIN_FOLDER / "rocket.png").pixels, (200, 192), interpolation=cv2.INTER_AREA)
    to_photo(pixels).save(folder / "small.jpg")
    to_photo(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / "noise.png")
    return folder


def test_equal_and_alike_pictures_are_found_and_others_are_not(train):
    pictures = [(name, BUILTIN_FOLDER / f"{name}.png") for name in ("astronaut", "chelsea", "coffee", "rocket")]
    leaks = {leak.picture: (leak.training, leak.is_exact) for leak in find_leaks(pictures, train)}
    assert leaks == {"coffee": ("b/same.png", True), "rocket": ("small.jpg", False)}


def test_flat_pictures_are_alike_to_nothing():
    assert difference_hash(np.full((32, 32, 3), 200, np.uint8)) is None


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no folder of pictures"):
        find_leaks([], tmp_path / "nowhere")
