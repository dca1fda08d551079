import json
from importlib.metadata import version

import numpy as np

from ldrestore import __version__
from ldrestore.records import hash_of_pixels, make_record, record_path, write_record


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
