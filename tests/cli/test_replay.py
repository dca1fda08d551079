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


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("there.png", "there.png: the file exists; choose another name"),
        ("x.heic", "cannot write format .heic"),
        ("x", "cannot write format without suffix"),
        ("nowhere/x.png", "there is no folder"),
    ],
)
def test_where_nothing_can_be_written_nothing_is_computed(call, made, folder, monkeypatch, out, message) -> None:
    (made.parent / "there.png").write_bytes(b"mine")

    def compute(*words, **options):
        raise AssertionError("it was computed for nothing")

    monkeypatch.setattr("ldrestore.jobs.replay.replay", compute)
    result = call("replay", made, "--input", folder / "a.png", "--out", made.parent / out)
    assert result.exit_code == 1 and message in result.stderr
    assert (made.parent / "there.png").read_bytes() == b"mine"


def test_the_verdict_is_told_though_what_came_out_fits_no_such_file(call, picture, tiny_model, tmp_path) -> None:
    source = picture(tmp_path / "in" / "a.png", mode="RGBA")
    words = ("--model", tiny_model)
    assert call("restore", source, tmp_path / "out.png", *words, "--device", "cpu").exit_code == 0
    result = call("replay", tmp_path / "out.png", "--input", source, *words, "--out", tmp_path / "again.jpg")
    assert result.exit_code == 1
    assert "the same pixels again" in result.stdout and "cannot hold the picture's alpha" in result.stderr
    assert not (tmp_path / "again.jpg").exists()


def test_a_mask_that_was_used_is_asked_for_by_its_flag(call, picture, tiny_model, tmp_path) -> None:
    source, mask = picture(tmp_path / "in" / "a.png"), picture(tmp_path / "mask.png", mode="L")
    words = ("--model", tiny_model)
    made = tmp_path / "out.png"
    assert call("restore", source, made, *words, "--device", "cpu", "--protect", mask).exit_code == 0
    missing = call("replay", made, "--input", source, *words)
    assert missing.exit_code == 2 and "give it again with --protect" in missing.stderr
    assert call("replay", made, "--input", source, *words, "--protect", mask).exit_code == 0
    other = call("replay", made, "--input", source, *words, "--protect", picture(tmp_path / "o.png", mode="L", seed=4))
    assert other.exit_code == 1 and "protect_sha256" in other.stdout


def test_the_document_has_the_same_keys_whatever_came_out(call, made, folder, picture, tiny_model, tmp_path) -> None:
    words = ("replay", made, "--model", tiny_model, "--json")
    same = call(*words, "--input", folder / "a.png")
    other = call(*words, "--input", picture(tmp_path / "other.png", seed=9))
    (folder / "a.png").unlink()
    none = call(*words)
    documents = [json.loads(result.stdout) for result in (same, other, none)]
    keys = {"result", "input", "reproduced", "file", "reason", "differences", "record"}
    assert all(document.keys() == keys for document in documents)
    assert [result.exit_code for result in (same, other, none)] == [0, 1, 1]
    assert [document["reproduced"] for document in documents] == [True, False, False]
    assert [one["name"] for one in documents[1]["differences"]] == ["input_sha256"]
    assert documents[2]["input"] is None and "--input" in documents[2]["reason"]
    assert {one.keys() == {"name", "recorded", "present"} for one in documents[1]["differences"]} == {True}


def test_a_result_that_was_changed_is_told_in_words(call, made, folder, picture, tiny_model) -> None:
    picture(made, seed=5)
    result = call("replay", made, "--input", folder / "a.png", "--model", tiny_model)
    assert result.exit_code == 0 and "not what was written: its pixels were changed" in result.stdout


def test_the_record_in_place_of_the_picture_and_a_model_that_is_gone(call, made, folder, tmp_path) -> None:
    result = call("replay", f"{made}.json", "--input", folder / "a.png")
    assert result.exit_code == 1 and "name the picture that it lies beside" in result.stderr
    gone = call("replay", made, "--input", folder / "a.png", "--model", tmp_path / "gone")
    assert gone.exit_code == 1 and "gone" in gone.stderr and len(gone.stderr.splitlines()) == 1
