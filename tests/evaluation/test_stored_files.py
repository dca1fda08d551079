import os
from pathlib import Path

import numpy as np
import pytest

from ldrestore.errors import ImageWriteError
from ldrestore.evaluation.stored_files import (
    hash_of_photo,
    key_of,
    link_or_copy,
    read_json_or_none,
    stamp_of,
    store_photo,
    stored_form,
    write_document,
    write_text,
)
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


def test_what_is_written_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "first")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ImageWriteError, match=r"a\.txt.*it cannot be written \(No space left on device\)"):
        write_text(path, "second")
    assert [(each.name, each.read_text()) for each in path.parent.iterdir()] == [("a.txt", "first")]


def test_a_file_at_another_place_is_a_link_or_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"content")
    link_or_copy(source, tmp_path / "linked" / "b")
    assert (tmp_path / "linked" / "b").samefile(source)

    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    link_or_copy(source, tmp_path / "copied" / "b")
    assert (tmp_path / "copied" / "b").read_bytes() == b"content"
    assert not (tmp_path / "copied" / "b").samefile(source)
    assert [path.name for path in (tmp_path / "copied").iterdir()] == ["b"]


def test_a_link_replaces_what_lies_there_and_a_lost_source_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old")
    with pytest.raises(ImageWriteError, match="No such file"):
        link_or_copy(tmp_path / "nowhere", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"old"
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"new"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"3"])
def test_a_document_that_is_damaged_or_no_object_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read_json_or_none(tmp_path / "a.json") is None
    assert read_json_or_none(tmp_path / "nowhere.json") is None


def test_a_document_comes_back_whatever_order_its_keys_have(tmp_path: Path) -> None:
    content = {"b": [1, None], "a": {"x": 0.1, "ü": "日本"}}
    write_document(tmp_path / "one.json", content)
    write_document(tmp_path / "two.json", dict(reversed(content.items())))
    assert read_json_or_none(tmp_path / "one.json") == content
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_key_is_of_values_and_not_of_their_order() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    keys = [key_of(content) for content in ({"a": 1}, {"a": 1.5}, {"a": "1"}, {"b": 1}, {"a": [1]}, {"a": None}, {})]
    assert len(set(keys)) == len(keys) and {len(key) for key in keys} == {64}


def test_a_stamp_changes_with_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert stamp_of(path) is None
    path.write_bytes(b"1")
    os.utime(path, ns=(5, 7))
    assert stamp_of(path) == "1 7"
    path.write_bytes(b"12")
    os.utime(path, ns=(5, 8))
    assert stamp_of(path) == "2 8"


def test_hashes_tell_depth_shape_and_alpha_apart() -> None:
    zeros = np.zeros((2, 3, 3), np.uint8)
    photos = [
        Photo(pixels=zeros),
        Photo(pixels=zeros.reshape(3, 2, 3)),
        Photo(pixels=zeros.astype(np.uint16)),
        Photo(pixels=zeros, alpha=np.zeros((2, 3), np.uint8)),
        Photo(pixels=np.zeros((2, 3, 1), np.uint8)),
    ]
    assert len({hash_of_photo(photo) for photo in photos}) == len(photos)


def test_the_stored_form_is_what_is_stored(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(4, 5, 3)
    photo = Photo(pixels=values, alpha=values[..., 0])
    store_photo(photo, tmp_path / "a.png")
    found = read_photo(tmp_path / "a.png")
    assert hash_of_photo(found) == hash_of_photo(stored_form(photo))
    assert np.abs(found.pixels / 65535 - values).max() <= 0.5 / 65535 + 1e-7
    eight = Photo(pixels=np.zeros((2, 2, 3), np.uint8))
    assert stored_form(eight) is eight
