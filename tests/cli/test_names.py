"""Files and folders whose names or kinds are unusual: each works, or fails by name alone."""

import json
import os
import subprocess
import sys

import pytest

from ldrestore.records import record_path

POSIX = pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")


@pytest.fixture
def degrade(call):
    """`degrade(IN.., OUT, ...)` with a quick recipe."""

    def run(*words):
        return call("degrade", "--recipe", "gaussian_noise", *words)

    return run


@POSIX
def test_names_of_all_kinds_are_restored(call, tiny_model, picture, tmp_path):
    source = tmp_path / "in"
    names = [os.fsdecode(b"caf\xe9.png"), "line\nbreak.png", "red\x1b[31m.png", "n" * 251 + ".png", "-dash.png"]
    for seed, name in enumerate(names):
        picture(source / name, seed=seed)
    result = call("restore", source, tmp_path / "out", "--model", tiny_model, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.stderr
    assert all(entry["status"] == "done" and not entry["notes"] for entry in json.loads(result.stdout)["results"])
    for name in names:
        assert (tmp_path / "out" / name).is_file()
        assert record_path(tmp_path / "out" / name).is_file()
    assert len(os.listdir(tmp_path / "out")) == 2 * len(names)


@POSIX
def test_what_fails_is_named_on_one_line_without_control_codes(degrade, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in (os.fsdecode(b"caf\xe9.png"), "line\nbreak.png", "red\x1b[31m.png"):
        (source / name).write_bytes(b"no picture")
    (source / "loop.png").symlink_to(source / "loop.png")
    result = degrade(source, tmp_path / "out")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 4 and all(line.startswith(f"failed: {source}") for line in lines)
    named = " ".join(lines)
    assert all(name in named for name in (r"caf\xe9.png", r"line\nbreak.png", r"red\x1b[31m.png", "loop.png"))
    assert "\x1b" not in result.stderr + result.stdout


@POSIX
def test_a_loop_of_links_is_one_file_that_fails(degrade, picture, tmp_path):
    source = tmp_path / "in"
    picture(source / "good.png")
    (source / "a.png").symlink_to("b.png")
    (source / "b.png").symlink_to("a.png")
    (source / "around").symlink_to(source, target_is_directory=True)
    result = degrade(source, tmp_path / "out", "--recursive")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2
    assert os.listdir(tmp_path / "out") == ["good.png"]
    alone = degrade(source / "a.png", tmp_path / "x.png")
    assert alone.exit_code == 1 and "a.png" in alone.stderr


@POSIX
def test_a_result_whose_name_would_be_too_long_fails_alone(degrade, picture, tmp_path):
    source = tmp_path / "in"
    picture(source / ("n" * 251 + ".png"))
    picture(source / "good.png")
    result = degrade(source, tmp_path / "out", "--format", "webp")
    assert result.exit_code == 1
    assert "nnn.webp: cannot be written (File name too long)" in result.stderr
    assert os.listdir(tmp_path / "out") == ["good.webp"]


def test_a_picture_whose_record_fails_is_done_all_the_same(call, tiny_model, picture, tmp_path, monkeypatch):
    from ldrestore.errors import ImageWriteError

    def full(record, path):
        raise ImageWriteError(path, "the record cannot be written (disk full)", "check the folder")

    monkeypatch.setattr("ldrestore.jobs.restoring.write_record", full)
    source = picture(tmp_path / "a.png")
    result = call("restore", source, tmp_path / "b.png", "--model", tiny_model, "--device", "cpu", "--json")
    assert result.exit_code == 0
    (entry,) = json.loads(result.stdout)["results"]
    assert entry["status"] == "done" and "disk full" in entry["notes"][0]
    assert "warning: " in result.stderr and "disk full" in result.stderr
    assert (tmp_path / "b.png").is_file()


def test_several_inputs_go_into_one_folder(degrade, folder, picture, tmp_path):
    other = picture(tmp_path / "other.png")
    result = degrade(folder / "a.png", folder / "sub", other, tmp_path / "none.png", f"{tmp_path}/out/", "--json")
    assert result.exit_code == 1
    entries = {entry["input"]: entry for entry in json.loads(result.stdout)["results"]}
    assert entries[str(tmp_path / "none.png")]["error"] == "ImageNotFoundError"
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png", "c.tif", "other.png"]


def test_one_input_named_twice_is_done_once_and_two_of_one_name_clash(degrade, folder, picture, tmp_path):
    twin = picture(tmp_path / "elsewhere" / "a.png")
    assert degrade(folder / "a.png", folder / "a.png", f"{tmp_path}/once/").exit_code == 0
    result = degrade(folder / "a.png", twin, folder / "b.jpg", f"{tmp_path}/out/")
    assert result.exit_code == 1
    assert "would each become" in result.stderr
    assert os.listdir(tmp_path / "out") == ["b.jpg"]


def test_several_inputs_need_a_folder(degrade, folder, tmp_path):
    result = degrade(folder / "a.png", folder / "b.jpg", tmp_path / "out")
    assert result.exit_code == 2
    assert "2 inputs need a folder as OUT" in result.stderr and "end its name with '/'" in result.stderr


def test_what_is_ignored_is_named_on_demand(degrade, folder, tmp_path):
    (folder / ".hidden.png").write_bytes(b"")
    result = degrade(folder, tmp_path / "out", "--verbose", "--json")
    assert f"ignored: {folder / 'notes.txt'}: not the suffix of a picture" in result.stderr
    ignored = {os.path.basename(entry["input"]): entry["reason"] for entry in json.loads(result.stdout)["ignored"]}
    assert ignored == {".hidden.png": "hidden", "notes.txt": "not the suffix of a picture that can be read"}


@pytest.mark.e2e
@pytest.mark.parametrize("option", [(), ("--overwrite",)])
def test_two_runs_on_one_folder_do_each_picture_once(picture, tmp_path, option):
    names = [f"{index:02}.png" for index in range(40)]
    for seed, name in enumerate(names):
        picture(tmp_path / "in" / name, seed=seed)
    words = ["degrade", tmp_path / "in", tmp_path / "out", "--recipe", "rain+snow", "--json", *option]
    command = [sys.executable, "-m", "ldrestore", *map(str, words)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"]
    documents = []
    for process in processes:
        printed, messages = process.communicate(timeout=100)
        assert process.returncode == 0, messages
        documents.append(json.loads(printed))
    done = [
        os.path.basename(entry["input"])
        for document in documents
        for entry in document["results"]
        if entry["status"] == "done"
    ]
    assert set(done) == set(names)
    assert len(done) == len(names)
    assert sorted(os.listdir(tmp_path / "out")) == names
