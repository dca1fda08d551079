import errno
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldrestore.datasets.pictures import (
    check_pictures,
    enlarged_to_fit,
    fault_of_picture,
    list_pictures,
    picture_size,
    random_window,
    read_rgb,
    turned,
)
from ldrestore.errors import ConfigError, DatasetError, MissingExtraError, ShapeError


@pytest.fixture
def folder(tmp_path):
    """Two pictures, and what is left out: hidden files and folders, other files."""
    for name in ("a.png", "more/b.png", "._a.png", ".hidden.png", ".ipynb_checkpoints/c.png", "more/.cache/d.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    return tmp_path / "pictures"


def test_hidden_files_and_folders_are_left_out(folder):
    assert list_pictures([folder]) == [folder / "a.png", folder / "more/b.png"]


def test_a_folder_given_by_a_hidden_name_is_taken(folder):
    assert list_pictures([folder / ".ipynb_checkpoints"]) == [folder / ".ipynb_checkpoints/c.png"]


def test_a_folder_of_hidden_pictures_alone_is_empty(tmp_path):
    (tmp_path / ".a.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match="no pictures below"):
        list_pictures([tmp_path])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_that_cannot_be_read_is_named(folder):
    (folder / "more").chmod(0)
    try:
        with pytest.raises(DatasetError, match=r"more: the folder cannot be read .*; check its permissions"):
            list_pictures([folder])
    finally:
        (folder / "more").chmod(0o755)


def test_the_first_file_that_is_no_picture_is_named_and_the_others_counted(folder):
    check_pictures(list_pictures([folder]))
    (folder / "c.png").write_bytes(b"")
    (folder / "d.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"c\.png: the file is empty.*take it out of the folder \(1 more"):
        check_pictures(list_pictures([folder]))


def test_a_picture_that_may_not_be_read_is_named(folder, monkeypatch):
    open_file = Path.open

    def opened(path, *arguments, **options):
        if path.name == "b.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)
    message = r"b\.png: cannot be opened \(Permission denied\); check .* permissions, or take it out of the folder$"
    with pytest.raises(DatasetError, match=message):
        check_pictures(list_pictures([folder]))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("goal", ["nowhere.png", "link.png"])
def test_a_link_that_leads_nowhere_is_named(folder, goal):
    (folder / "link.png").symlink_to(goal)
    os.mkfifo(folder / "pipe.png")
    assert [path.name for path in list_pictures([folder])] == ["a.png", "link.png", "b.png"]
    with pytest.raises(DatasetError, match=r"link\.png: .*, or take it out of the folder$"):
        check_pictures(list_pictures([folder]))


def test_a_file_that_was_written_to_is_looked_at_again(folder):
    assert picture_size(folder / "a.png") == (30, 20)
    Image.fromarray(np.zeros((20, 31, 3), np.uint8)).save(folder / "a.png")
    assert picture_size(folder / "a.png") == (31, 20)


def test_every_fault_is_one_line_with_the_file(folder):
    for error in (ValueError("two\nlines"), KeyError(), MissingExtraError("pillow-heif", "heif", "to read it")):
        message = str(fault_of_picture(folder / "a.png", error))
        assert message.startswith(f"{folder / 'a.png'}: ")
        assert "\n" not in message


KINDS_OF_FILES = {
    "grey.png": lambda pixels: Image.fromarray(pixels[..., 0]),
    "grey_alpha.png": lambda pixels: Image.fromarray(pixels[..., 0]).convert("LA"),
    "deep.png": lambda pixels: Image.fromarray(pixels[..., 0].astype(np.uint16) * 257),
    "float.tif": lambda pixels: Image.fromarray(pixels[..., 0].astype(np.float32) / 255),
}


@pytest.mark.parametrize("name", KINDS_OF_FILES)
def test_grey_of_every_depth_becomes_three_equal_channels_of_8_bits(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    KINDS_OF_FILES[name](pixels).save(tmp_path / name)
    read = read_rgb(tmp_path / name)
    assert read.dtype == np.uint8
    assert np.array_equal(read, np.repeat(pixels[..., :1], 3, axis=2))


def test_colours_under_alpha_are_read_as_they_are(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), pixels[..., :3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_of_the_header_is_that_of_the_upright_pixels(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    width, height = picture_size(tmp_path / "a.jpg")
    assert read_rgb(tmp_path / "a.jpg").shape == (height, width, 3)
    assert (width, height) == ((9, 6) if orientation < 5 else (6, 9))


def test_pictures_of_several_folders_come_folder_by_folder(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "0_other"
    other.mkdir()
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(other / "z.PNG")
    found = list_pictures([folder, other])
    assert [path.name for path in found] == ["a.png", "b.png", "z.PNG"]
    with pytest.raises(ConfigError, match=r"no folder of pictures at .*a\.png; check the path"):
        list_pictures([folder, folder / "a.png"])


def test_the_eight_turns_differ_and_are_those_of_a_square() -> None:
    square = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    results = [turned(square, turn) for turn in range(8)]
    assert len({result.tobytes() for result in results}) == 8
    assert np.array_equal(results[0], square)
    for result in results:
        assert {tuple(pixel) for pixel in result.reshape(-1, 3)} == {tuple(pixel) for pixel in square.reshape(-1, 3)}
        assert tuple(result[1, 1]) == tuple(square[1, 1])


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (40, 3), (7, 9)])
def test_small_pictures_are_enlarged_in_proportion_until_both_sides_fit(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 77, np.uint8)
    larger = enlarged_to_fit(picture, 20)
    assert min(larger.shape[:2]) == 20 and (larger == 77).all()
    assert max(larger.shape[:2]) == round(20 * max(shape) / min(shape))
    assert enlarged_to_fit(larger, 20) is larger


def test_random_windows_reach_every_place_and_no_further() -> None:
    generator = np.random.default_rng(0)
    places = set()
    for _ in range(200):
        rows, columns = random_window(7, 9, side=5, generator=generator)
        assert (rows.stop - rows.start, columns.stop - columns.start) == (5, 5)
        places.add((rows.start, columns.start))
    assert places == set(itertools.product(range(3), range(5)))
    assert random_window(5, 5, side=5, generator=generator) == (slice(0, 5), slice(0, 5))
    for shape in ((4, 9), (9, 4)):
        with pytest.raises(ShapeError, match=rf"cannot cut 5x5 out of {shape[0]}x{shape[1]}; use smaller patches"):
            random_window(*shape, side=5, generator=generator)
