from pathlib import Path

import cv2
import numpy as np
import pytest

from ldrestore.errors import ConfigError
from ldrestore.evaluation.benchmark_files import BUILTIN_FOLDER
from ldrestore.evaluation.leaks import MOST_BITS, difference_hash, find_leaks
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


def brute_force_bits(pixels: np.ndarray) -> list[bool]:
    """Whether each of 8 x 8 places is darker than its right neighbour, on means of equal blocks."""
    height, width = pixels.shape[0] // 8, pixels.shape[1] // 9
    means = pixels.reshape(8, height, 9, width).mean(axis=(1, 3))
    return [bool(means[row, column + 1] > means[row, column]) for row in range(8) for column in range(8)]


def test_the_hash_is_of_means_over_blocks_row_by_row() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (8, 9), dtype=np.uint8).repeat(4, axis=0).repeat(6, axis=1)
    code = difference_hash(np.repeat(grey[..., None], 3, axis=2))
    bits = [bool(int(code) >> (63 - place) & 1) for place in range(64)]
    assert bits == brute_force_bits(grey.astype(float))


def test_the_hash_bears_light_and_size_and_not_a_mirror() -> None:
    pixels = read_photo(BUILTIN_FOLDER / "chelsea.png").pixels
    code = difference_hash(pixels)

    def distance(other: np.ndarray) -> int:
        return int(np.bitwise_count(np.uint64(code) ^ difference_hash(np.ascontiguousarray(other))))

    assert distance(pixels) == 0
    assert distance((pixels * 0.8).astype(np.uint8)) <= MOST_BITS
    assert distance(pixels[::2, ::2]) <= MOST_BITS
    assert distance(pixels[:, ::-1]) > 3 * MOST_BITS


def test_a_changed_pixel_is_alike_and_no_longer_equal(tmp_path: Path) -> None:
    pixels = read_photo(BUILTIN_FOLDER / "coffee.png").pixels.copy()
    pixels[0, 0] ^= 1
    to_photo(pixels).save(tmp_path / "train.png")
    (leak,) = find_leaks([("suite/coffee", BUILTIN_FOLDER / "coffee.png")], tmp_path)
    assert not leak.is_exact
    assert str(leak) == (
        "suite/coffee is among the training pictures as train.png (alike by its difference hash; look at both)"
    )


def test_an_equal_picture_is_named_before_a_similar_one_and_each_once(tmp_path: Path) -> None:
    photo = read_photo(BUILTIN_FOLDER / "coffee.png")
    photo.save(tmp_path / "z.png")
    to_photo((photo.pixels * 0.9).astype(np.uint8)).save(tmp_path / "a.png")
    photo.save(tmp_path / "y.png")
    (leak,) = find_leaks([("coffee", BUILTIN_FOLDER / "coffee.png")], tmp_path)
    assert (leak.training, leak.is_exact) == ("y.png", True)


def test_flat_and_broken_pictures_hide_no_leak_and_make_none(tmp_path: Path) -> None:
    train, flat = tmp_path / "train", np.full((64, 64, 3), 128, np.uint8)
    train.mkdir()
    (train / "broken.png").write_bytes(b"no picture")
    to_photo(flat).save(train / "flat.png")
    to_photo(flat + np.uint8(1)).save(tmp_path / "lighter.png")
    read_photo(BUILTIN_FOLDER / "rocket.png").save(train / "rocket.png")
    pictures = [(path.stem, path) for path in (*sorted(train.iterdir()), tmp_path / "lighter.png")]
    found = {leak.picture: leak.is_exact for leak in find_leaks(pictures, train)}
    assert found == {"rocket": True, "flat": True}  # a plain sky is found where every pixel of it is equal


def test_other_pictures_are_not_alike(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for index in range(40):
        small = generator.integers(0, 256, (6, 7, 3), dtype=np.uint8)
        to_photo(cv2.resize(small, (63, 56), interpolation=cv2.INTER_CUBIC)).save(tmp_path / f"{index}.png")
    pictures = [(path.stem, path) for path in sorted(BUILTIN_FOLDER.glob("*.png"))]
    assert find_leaks(pictures, tmp_path) == []
