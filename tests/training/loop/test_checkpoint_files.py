"""A checkpoint's files are what was written, or the first that is not is named."""

import json

import pytest
import torch
from safetensors.torch import save_file

from ldrestore.errors import WeightsError
from ldrestore.training.loop.checkpoint_files import HASHES_FILE, check_files, read_progress, write_hashes


@pytest.fixture
def folder(tmp_path):
    """A checkpoint without its hashes, one file in a folder of its own."""
    (tmp_path / "pytorch_model").mkdir()
    save_file({"weight": torch.ones(4)}, tmp_path / "model.safetensors")
    torch.save({"state": torch.zeros(3)}, tmp_path / "pytorch_model" / "optimizer.bin")
    progress = {"step": 5, "num_processes": 1, "config": {"run": {"seed": 1}}}
    (tmp_path / "progress.json").write_text(json.dumps(progress))
    return tmp_path


def flip(path, place):
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


def test_hashes_name_every_file_by_its_path_in_the_checkpoint(folder):
    write_hashes(folder)
    record = json.loads((folder / HASHES_FILE).read_text())
    assert list(record) == ["model.safetensors", "progress.json", "pytorch_model/optimizer.bin"]
    check_files(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "progress.json", "pytorch_model/optimizer.bin"])
def test_a_changed_or_missing_file_is_named_with_the_way_out(folder, name):
    write_hashes(folder)
    flip(folder / name, -1)
    with pytest.raises(WeightsError, match=rf"{name} is not what was written; .*--skip-damaged"):
        check_files(folder)
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name} is missing"):
        check_files(folder)


def test_files_beside_those_that_were_written_do_not_matter(folder):
    write_hashes(folder)
    (folder / "notes.txt").write_text("of mine")
    check_files(folder)


def test_an_older_checkpoint_without_hashes_is_held_against_its_formats(folder):
    check_files(folder)
    flip(folder / "pytorch_model/optimizer.bin", 100)
    with pytest.raises(WeightsError, match=r"optimizer\.bin"):
        check_files(folder)


def test_a_file_that_was_cut_is_found_without_hashes(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(WeightsError, match=r"model\.safetensors cannot be read"):
        check_files(folder)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is missing"),
        ("{", "cannot be read"),
        ("[1]", "holds no JSON object"),
        ('{"step": 1, "num_processes": 1}', "lacks step, num_processes or config"),
        ('{"step": "1", "num_processes": 1, "config": {}}', "lacks step"),
    ],
)
def test_a_progress_that_says_too_little_is_refused(folder, content, reason):
    assert read_progress(folder)["step"] == 5
    path = folder / "progress.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(WeightsError, match=reason):
        read_progress(folder)
