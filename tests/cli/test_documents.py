"""The documents of --json: the same keys whatever became of the pictures, on standard output alone."""

import json
import os

import pytest
from PIL import Image

RESULT_KEYS = {"input", "output", "status", "reason", "error", "seconds", "record", "advice", "notes"}
SUMMARY_KEYS = {"planned", "done", "skipped", "failed", "cancelled", "ignored", "seconds"}


@pytest.fixture(params=["restore", "degrade"])
def run(request, call, tiny_model):
    """`run(IN, OUT, ...)` of either command, which gives its document, checked, and the exit code."""
    own = {"restore": ("--model", tiny_model, "--device", "cpu"), "degrade": ("--recipe", "jpeg")}[request.param]

    def ask(*words):
        result = call(request.param, *words, *own, "--json")
        document = json.loads(result.stdout)
        assert document.keys() == {"command", "version", "results", "ignored", "summary"}
        assert document["command"] == request.param and document["summary"].keys() == SUMMARY_KEYS
        assert all(one.keys() == RESULT_KEYS for one in document["results"])
        for status in SUMMARY_KEYS - {"ignored", "seconds"}:
            count = sum(one["status"] == status for one in document["results"])
            assert document["summary"][status] == count
        assert (result.exit_code == 1) == (document["summary"]["failed"] > 0)
        return document, result

    return ask


def status_of(document):
    return {os.path.basename(one["input"]): one["status"] for one in document["results"]}


def test_all_that_can_become_of_a_picture_is_told(run, folder, picture, tmp_path) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / ".hidden.png").write_bytes(b"x")
    before = picture(tmp_path / "out" / "b.jpg").read_bytes()
    document, result = run(folder, tmp_path / "out")
    assert status_of(document) == {"a.png": "done", "b.jpg": "skipped", "broken.png": "failed"}
    broken = next(one for one in document["results"] if one["status"] == "failed")
    assert broken["error"] == "UnsupportedFormatError" and "not a picture" in broken["reason"]
    assert broken["record"] is None and broken["advice"] == []
    reasons = {os.path.basename(one["input"]): one["reason"] for one in document["ignored"]}
    assert reasons == {"notes.txt": "not the suffix of a picture that can be read", ".hidden.png": "hidden"}
    assert document["summary"]["ignored"] == 2
    assert (tmp_path / "out" / "b.jpg").read_bytes() == before
    assert result.stderr.startswith("failed: ")


def test_a_dry_run_tells_the_same_and_makes_nothing(run, folder, tmp_path) -> None:
    Image.new("L", (16_400, 1)).save(folder / "wide.png")
    document, _ = run(folder, tmp_path / "out", "--dry-run", "--format", "webp", "--recursive")
    assert status_of(document) == {"a.png": "planned", "b.jpg": "planned", "c.tif": "planned", "wide.png": "failed"}
    outputs = {os.path.relpath(one["output"], tmp_path / "out") for one in document["results"]}
    assert outputs == {"a.webp", "b.webp", os.path.join("sub", "c.webp"), "wide.webp"}
    assert not (tmp_path / "out").exists()


def test_a_dry_run_knows_what_is_done_already_and_what_clashes(run, folder, picture, tmp_path) -> None:
    picture(tmp_path / "out" / "a.png")
    assert status_of(run(folder, tmp_path / "out", "--dry-run")[0]) == {"a.png": "skipped", "b.jpg": "planned"}
    written_again = run(folder, tmp_path / "out", "--dry-run", "--overwrite")[0]
    assert status_of(written_again) == {"a.png": "planned", "b.jpg": "planned"}
    picture(folder / "a.bmp")
    clashing = run(folder, tmp_path / "out", "--dry-run", "--format", "jpeg")[0]
    assert status_of(clashing) == {"a.bmp": "failed", "a.png": "failed", "b.jpg": "planned"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_names_that_are_no_text_are_in_the_document(run, picture, tmp_path) -> None:
    names = [os.fsdecode(b"caf\xe9.png"), "a\nb.png", "\u202ex.png"]
    for name in names:
        picture(tmp_path / "in" / name)
    document, result = run(tmp_path / "in", tmp_path / "out")
    assert sorted(os.path.basename(one["input"]) for one in document["results"]) == sorted(names)
    assert result.stdout.isascii()
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == sorted(names)


def test_an_empty_folder_has_a_document_too(run, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    document, result = run(tmp_path / "in", tmp_path / "out")
    assert document["results"] == [] and result.exit_code == 0
    assert result.stderr == "warning: no pictures found in IN\n"


def test_a_dry_run_writes_no_report_and_asks_for_no_model(call, folder, tmp_path) -> None:
    words = ("--dry-run", "--report", "--changes", "--model", "somebody/nothing", "--json")
    result = call("restore", folder, tmp_path / "out", *words)
    assert result.exit_code == 0 and json.loads(result.stdout)["summary"]["planned"] == 2
    assert not (tmp_path / "out").exists()


def test_the_record_of_the_document_is_the_one_beside_the_result(call, folder, tiny_model, tmp_path) -> None:
    words = ("--model", tiny_model, "--device", "cpu", "--json", "--fidelity", "0.25")
    (one,) = json.loads(call("restore", folder / "a.png", tmp_path / "out.png", *words).stdout)["results"]
    assert one["record"] == json.loads((tmp_path / "out.png.json").read_text())
    assert one["record"]["options"]["fidelity"] == 0.25
    assert one["input"] == str(folder / "a.png") and one["output"] == str(tmp_path / "out.png")
