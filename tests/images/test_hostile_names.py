"""Names and places of every kind: a picture that is read and written like any other, or one plain line."""

import os
from pathlib import Path

import numpy as np
import pytest

from ldrestore.errors import (
    CorruptImageError,
    ImageFileError,
    ImageNotFoundError,
    ImageWriteError,
    OutputExistsError,
    UnsupportedFormatError,
)
from ldrestore.images.encoding import check_target
from ldrestore.images.files import read_photo
from ldrestore.images.formats import MAX_BMP_BYTES, SUFFIX_FORMATS
from ldrestore.images.headers import read_size
from ldrestore.images.photo import Photo
from ldrestore.jobs.plan import plan_jobs

NAMES = {
    "255 bytes": b"n" * 250,
    "no UTF-8": b"\xff\xfe\x80",
    "line break": b"two\nlines",
    "escape": b"\x1b[31mred\x1b[0m",
    "return": b"hidden\rshown",
    "right to left": "\u202egpj".encode(),
    "wide": "日本語の写真".encode(),
    "composed": b"e\xcc\x81te\xcc\x81",
    "spaces": b"  two words  ",
    "minus": b"--overwrite",
    "percent": b"%s %d 100%",
    "glob": b"[a-z]*?{1,2}",
    "quotes": b"'\"`$(id)\\",
    "dots": b"..a..b",
    "bell and delete": b"\x07\x7f",
}
SUFFIXES = (".png", ".jpg", ".tif", ".webp", ".bmp")


def place(folder: Path, name: bytes, suffix: str = "") -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name[: 255 - len(suffix)] + suffix.encode()))


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_of_any_name_is_written_and_read(kind: str, suffix: str, pixels: np.ndarray, tmp_path: Path) -> None:
    path = place(tmp_path, NAMES[kind], suffix)
    Photo(pixels=pixels).save(path)
    assert os.listdir(os.fsencode(tmp_path)) == [os.fsencode(path.name)]
    assert read_photo(path).pixels.shape == pixels.shape
    assert read_size(path) == (12, 10)
    with pytest.raises(OutputExistsError, match="exists already; choose another name"):
        Photo(pixels=pixels).save(path)
    Photo(pixels=pixels).save(path, overwrite=True)


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_wrong_with_a_file_of_any_name_is_one_line_that_does_nothing_to_a_terminal(
    kind: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    path = place(tmp_path, NAMES[kind], ".png")
    found = []
    for content in (None, b"", b"no picture", b"\x89PNG\r\n\x1a\nIHDR"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ImageFileError) as caught:
            read_photo(path)
        found.append(caught.value)
    with pytest.raises(ImageFileError) as caught:
        Photo(pixels=pixels).save(path)
    found.append(caught.value)
    kinds = [ImageNotFoundError, CorruptImageError, UnsupportedFormatError, CorruptImageError, OutputExistsError]
    assert [type(error) for error in found] == kinds
    assert all(str(error).isprintable() for error in found)


@pytest.mark.parametrize("leads", ["nowhere", "to itself"])
def test_a_link_that_leads_to_no_picture_is_nothing_to_overwrite_unasked(
    leads: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    link = tmp_path / "link.png"
    link.symlink_to(link if leads == "to itself" else tmp_path / "unmounted.png")
    with pytest.raises(OutputExistsError, match=r"link\.png: exists already; .* or ask for overwriting"):
        Photo(pixels=pixels).save(link)
    assert link.is_symlink() and not (tmp_path / "unmounted.png").exists()
    with pytest.raises(ImageFileError):
        read_photo(link)
    Photo(pixels=pixels).save(link, overwrite=True)
    assert np.array_equal(read_photo(link).pixels, pixels)


def test_a_run_sees_a_link_that_leads_nowhere_before_it_computes(pixels: np.ndarray, tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    source, link = tmp_path / "in/a.png", tmp_path / "out/a.png"
    Photo(pixels=pixels).save(source)
    link.symlink_to(tmp_path / "unmounted.png")
    call = {"picture_format": None, "is_recursive": False, "may_overwrite": False}
    plan = plan_jobs([str(source.parent)], str(link.parent), **call)
    assert plan.jobs == () and [outcome.reason for outcome in plan.settled] == [f"{link} exists"]
    with pytest.raises(OutputExistsError, match=r"out/a\.png: the file exists; .*--overwrite"):
        plan_jobs([str(source)], str(link), **call)


def test_a_picture_behind_links_is_read_and_its_links_stay(pixels: np.ndarray, tmp_path: Path) -> None:
    Photo(pixels=pixels).save(tmp_path / "real.png")
    (tmp_path / "one.png").symlink_to("real.png")
    (tmp_path / "two.jpg").symlink_to("one.png")
    photo = read_photo(tmp_path / "two.jpg")
    assert (photo.format, photo.path) == ("PNG", tmp_path / "two.jpg")
    assert np.array_equal(photo.pixels, pixels)


def test_a_folder_a_pipe_and_a_file_as_a_folder_are_named(pixels: np.ndarray, tmp_path: Path) -> None:
    Photo(pixels=pixels).save(tmp_path / "file.png")
    (tmp_path / "folder.png").mkdir()
    for target, message in (
        (tmp_path / "folder.png", "exists already"),
        (tmp_path / "file.png/a.png", "there is no folder"),
        (tmp_path / "none/a.png", "there is no folder"),
        (tmp_path / ("n" * 252 + ".png"), "cannot be written"),
    ):
        with pytest.raises(ImageWriteError if message != "exists already" else OutputExistsError, match=message):
            Photo(pixels=pixels).save(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.png", "folder.png"]


@pytest.mark.parametrize("name", ["a", "a.", ".png", "a.png ", "a.gif", "a.jpg.txt", "a.heic", "a.png\n", ""])
def test_names_without_a_suffix_that_can_be_written_say_which_can(
    name: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"cannot write format .*; choose one of BMP, JPEG, PNG") as caught:
        Photo(pixels=pixels).save(tmp_path / name)
    assert str(caught.value).isprintable()
    Photo(pixels=pixels).save(tmp_path / (name.strip() or "b"), format="PNG")


@pytest.mark.parametrize("suffix", [*SUFFIX_FORMATS, *(suffix.upper() for suffix in SUFFIX_FORMATS), ".JpEg", ".Tif"])
def test_suffixes_of_any_case_tell_the_format(suffix: str, tmp_path: Path) -> None:
    expected = SUFFIX_FORMATS[suffix.lower()]
    assert check_target(tmp_path / f"a{suffix}", height=5, width=5, has_alpha=False) == expected


@pytest.mark.parametrize(
    ("suffix", "height", "width"),
    [(".jpg", 65_500, 1), (".jpeg", 1, 65_500), (".webp", 16_383, 16_383), (".png", 10**6, 10**6), (".tif", 10**6, 9)],
)
def test_the_largest_size_of_each_format_passes_and_the_next_is_refused_with_what_to_do(
    suffix: str, height: int, width: int, tmp_path: Path
) -> None:
    check_target(tmp_path / f"a{suffix}", height=height, width=width, has_alpha=False)
    if suffix in (".png", ".tif"):
        return
    for larger in ((65_501, width), (height, 65_501)):
        with pytest.raises(ImageWriteError, match=r"pixels a side, .* has \d+x\d+; write PNG or TIFF .*--format png"):
            check_target(tmp_path / f"a{suffix}", height=larger[0], width=larger[1], has_alpha=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [1, 2, 3, 4, 1000])
def test_a_bmp_ends_where_its_bytes_no_longer_fit_32_bits(width: int, tmp_path: Path) -> None:
    row = -(-3 * width // 4) * 4  # rows of whole words
    most = (MAX_BMP_BYTES - 54) // row
    check_target(tmp_path / "a.bmp", height=most, width=width, has_alpha=False)
    with pytest.raises(ImageWriteError, match=rf"a BMP holds at most {MAX_BMP_BYTES} bytes, which {width}x{most + 1} "):
        check_target(tmp_path / "a.bmp", height=most + 1, width=width, has_alpha=False)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_alpha_of_any_depth_is_refused_by_formats_without_before_the_file_is_opened(
    suffix: str, dtype: type, tmp_path: Path
) -> None:
    photo = Photo(pixels=np.ones((4, 4, 3), dtype), alpha=np.ones((4, 4), dtype))
    (tmp_path / f"a{suffix}").write_bytes(b"mine")
    with pytest.raises(ImageWriteError, match="cannot hold the picture's alpha; write PNG, TIFF or WebP instead"):
        photo.save(tmp_path / f"a{suffix}", overwrite=True)
    assert (tmp_path / f"a{suffix}").read_bytes() == b"mine"
