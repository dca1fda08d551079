import json

import pytest
from PIL import Image


@pytest.fixture
def made(call, tiny_model, folder, tmp_path):
    """A result that the command has made of `folder/a.png`."""
    result = tmp_path / "out.png"
    assert call("restore", folder / "a.png", result, "--model", tiny_model, "--device", "cpu").exit_code == 0
    return result


def test_a_replay_ends_with_zero_and_says_so(call, made, folder, tiny_model, tmp_path):
    words = ("replay", made, "--input", folder / "a.png", "--model", tiny_model)
    result = call(*words, "--out", tmp_path / "again.png")
    assert result.exit_code == 0, result.stderr
    assert "the same pixels again" in result.stdout and "as it was written" in result.stdout
    with Image.open(made) as first, Image.open(tmp_path / "again.png") as second:
        assert list(first.get_flattened_data()) == list(second.get_flattened_data())
    document = json.loads(call(*words, "--json").stdout)
    assert document["reproduced"] and document["differences"] == []


def test_other_pixels_end_with_one_and_name_what_differs(call, made, folder, tiny_model):
    path = made.with_name("out.png.json")
    record = json.loads(path.read_text())
    record["options"]["fidelity"], record["packages"]["numpy"] = 0.5, "0.0.1"
    path.write_text(json.dumps(record))
    result = call("replay", made, "--input", folder / "a.png", "--model", tiny_model)
    assert result.exit_code == 1
    assert "other pixels than recorded" in result.stdout and "packages.numpy" in result.stdout


def test_a_missing_input_is_asked_for(call, made, folder):
    (folder / "a.png").unlink()
    result = call("replay", made)
    assert result.exit_code == 1
    assert result.stderr.startswith("not replayed: no picture beside the result") and "--input" in result.stderr


def test_a_picture_without_a_record_is_an_error(call, folder):
    result = call("replay", folder / "a.png")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and "has no record" in result.stderr
