import errno
import os

import pytest
import torch
from safetensors import SafetensorError
from tiny_run import run_tiny, tiny_config

from ldrestore.errors import ConfigError, ExportError, OtherProcessError
from ldrestore.training.loop import agreement, checkpoint
from ldrestore.training.loop.run_folder import writing, writing_together


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x"), r"run cannot be written \(No space left on device\)"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "x"), "Read-only file system"),
        (SafetensorError("I/O error:\nno space"), r"\(I/O error: no space\); make room, or give a run.output_dir"),
        (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/3"), "torch could not write"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 9 vs 8"), "torch could not write"),
        (RuntimeError("basic_ios::clear: iostream error"), "torch could not write"),
    ],
)
def test_what_keeps_a_run_from_writing_is_one_line(tmp_path, error, message):
    with pytest.raises(ExportError, match=message) as caught, writing(tmp_path / "run"):
        raise error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ConfigError("wrong")])
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, writing(tmp_path):
        raise error
    assert caught.value is error


def test_a_folder_that_cannot_be_made_ends_a_run_before_its_first_step(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ExportError, match=r"file.* cannot be written"):
        run_tiny(tiny_config(tmp_path / "file"))


@pytest.mark.parametrize("place", ["write_hashes", "save_file"])
def test_a_disk_that_fills_up_ends_a_run_in_one_line(tmp_path, monkeypatch, place):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, place, fail)
    with pytest.raises(ExportError, match=r"cannot be written \(No space left on device\)"):
        run_tiny(tiny_config(tmp_path))
    assert checkpoint.list_checkpoints(tmp_path) == []


def test_no_process_waits_for_one_that_cannot_write(tmp_path, monkeypatch):
    class Processes:
        num_processes, process_index, device = 2, 1, torch.device("cpu")

    monkeypatch.setattr(agreement, "PartialState", Processes)
    monkeypatch.setattr(agreement, "gather", lambda flag: torch.tensor([1, int(flag)]))
    with pytest.raises(OtherProcessError, match="process 0 of the run failed"), writing_together(tmp_path):
        pass
    monkeypatch.setattr(Processes, "process_index", 0)
    monkeypatch.setattr(agreement, "gather", lambda flag: torch.tensor([int(flag), 0]))
    with pytest.raises(ExportError, match="No space left"), writing_together(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_that_torch_cannot_write_to_its_end_names_its_writer():
    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def flush(self):
            pass

    with pytest.raises((OSError, RuntimeError), match=r"No space left|PytorchStreamWriter"):
        torch.save({"a": torch.zeros(1000)}, Full())
