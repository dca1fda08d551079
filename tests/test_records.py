import hashlib
import json
import os
from importlib.metadata import version

import numpy as np
import pytest

from ldrestore import __version__
from ldrestore.errors import ImageWriteError, RecordError
from ldrestore.records import (
    MAX_NAME_BYTES,
    hash_of_pixels,
    make_record,
    path_beside,
    read_record,
    record_path,
    with_file,
    write_record,
)


def record(**changes):
    parts = {
        "model": {"architecture": "NAFNet", "weights_sha256": "ab"},
        "options": {"fidelity": 0.0},
        "tile_plan": {"tile": 0},
        "runtime": {"device": "cpu", "threads": 1},
        "input_sha256": "12",
        "output_sha256": "34",
    }
    return make_record(**{**parts, **changes})


def test_a_record_says_what_decides_the_pixels():
    made = record()
    assert made["ldrestore"] == __version__
    assert {"torch", "numpy", "diffusers"} <= made["packages"].keys()
    assert made["model"]["weights_sha256"] == "ab"
    assert (made["input_sha256"], made["output_sha256"]) == ("12", "34")


def test_further_packages_are_recorded_where_they_computed():
    assert "transformers" not in record()["packages"]
    packages = record(more_packages=("transformers",))["packages"]
    assert packages["transformers"] == version("transformers") and "torch" in packages


def test_equal_runs_give_equal_records():
    assert record() == record()
    assert record() != record(options={"fidelity": 0.5})


def test_a_written_record_reads_back_with_sorted_keys(tmp_path):
    path = record_path(tmp_path / "photo.png")
    assert path.name == "photo.png.json"
    write_record(record(), path)
    write_record(record(input_sha256="56"), path)
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == record(input_sha256="56")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert [file.name for file in tmp_path.iterdir()] == ["photo.png.json"]


def test_pixel_hashes_tell_type_shape_values_and_alpha_apart():
    pixels = np.zeros((2, 3, 1), np.uint8)
    other = pixels.copy()
    other[0, 0] = 1
    alpha = np.zeros((2, 3), np.uint8)
    variants = [
        (pixels, None),
        (other, None),
        (pixels, alpha),
        (pixels.reshape(3, 2, 1), None),
        (pixels.astype(">u2"), None),
    ]
    assert len({hash_of_pixels(*variant) for variant in variants}) == len(variants)
    assert hash_of_pixels(pixels, None) == hash_of_pixels(pixels.copy(order="F"), None)


@pytest.mark.parametrize("length", [1, 240, 246, 247, 250, 251, 255])
def test_a_records_name_is_one_that_can_be_whatever_its_pictures_is(tmp_path, length) -> None:
    for letter in ("a", "é", "写", "\udcff"):
        size = len(os.fsencode(letter))
        name = letter * max(1, (length - 4) // size) + ".png"
        path = record_path(tmp_path / name)
        assert len(os.fsencode(path.name)) <= MAX_NAME_BYTES and path.suffix == ".json"
        write_record(record(), path)
        assert read_record(tmp_path / name) == record()


def test_long_names_that_begin_alike_have_records_of_their_own(tmp_path) -> None:
    names = ["a" * 250 + ending for ending in (".png", ".jpg", "b.png")]
    paths = {record_path(tmp_path / name) for name in names}
    assert len(paths) == 3 and record_path(tmp_path / names[0]) in paths  # the same each time
    assert path_beside(tmp_path / names[0], ".changes.png") not in paths


def test_a_record_that_cannot_be_written_leaves_the_last_one(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.png.json"
    write_record(record(), path)

    def full(self, *words, **options):
        self.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_text", full)
        with pytest.raises(ImageWriteError, match=r"the record cannot be written \(No space left on device"):
            write_record(record(input_sha256="56"), path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png.json"]
    assert json.loads(path.read_text())["input_sha256"] == "12"


def test_a_record_knows_the_file_that_it_lies_beside(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"pixels")
    noted = with_file(record(), tmp_path / "a.png", quality=95)
    assert noted["file"] == {"quality": 95, "sha256": hashlib.sha256(b"pixels").hexdigest()}
    assert "file" not in record() and {**noted, "file": 0} == {**record(), "file": 0}
    with pytest.raises(ImageWriteError, match="cannot be read again"):
        with_file(record(), tmp_path / "gone.png", quality=None)


@pytest.mark.parametrize("group", ["packages", "model", "options", "tile_plan", "runtime", "input_sha256"])
def test_a_record_without_one_of_its_parts_is_none(tmp_path, group) -> None:
    path = tmp_path / "a.png.json"
    for value in (None, [], 7):
        path.write_text(json.dumps({**record(), group: value}))
        with pytest.raises(RecordError, match="is no record of ldrestore: expected ldrestore, input_sha256"):
            read_record(tmp_path / "a.png")


def test_what_can_be_asked_of_a_model_is_recorded_as_text_of_any_kind(tmp_path) -> None:
    written = record(options={"instruction": "caf\udce9\n\u202e" + "x" * 10_000})
    write_record(written, tmp_path / "a.png.json")
    assert read_record(tmp_path / "a.png") == written
