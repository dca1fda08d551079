"""Where a converted model is written: whole or not at all, and one clear line wherever that cannot be."""

import json
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ldrestore.checkpoints import whole_folder as whole_folder_module
from ldrestore.checkpoints.whole_folder import whole_folder
from ldrestore.conversion import convert
from ldrestore.errors import ExportError, InputError, WeightsError, WeightsUnavailableError
from ldrestore.regressors.factory import create_regressor
from ldrestore.weights.hashes import hash_of_file, hash_of_weights
from tests.checkpoints.mutated_checkpoints import OPTIONS

WEIGHTS_PATH = Path("regressor/diffusion_pytorch_model.safetensors")
FULL, READ_ONLY, FORBIDDEN = (28, "No space left on device"), (30, "Read-only file system"), (13, "Permission denied")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny published file."""
    torch.manual_seed(0)
    path = tmp_path / "published" / "tiny.pth"
    path.parent.mkdir()
    torch.save({"params": create_regressor("nafnet", **OPTIONS).state_dict()}, path)
    return path


def content_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def raising(number: int, words: str) -> Callable[..., Any]:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(number, words)

    return fail


STAGES: dict[str, tuple[object, str]] = {
    "temporary folder": (tempfile, "mkdtemp"),
    "folders above": (Path, "mkdir"),
    "weights and config": (diffusers.ModelMixin, "save_pretrained"),
    "index": (whole_folder_module.json, "dumps"),
    "taking the place": (Path, "rename"),
}


@pytest.mark.parametrize("problem", [FULL, READ_ONLY, FORBIDDEN])
@pytest.mark.parametrize("stage", STAGES)
def test_whatever_stage_fails_nothing_half_written_stays(
    stage: str, problem: tuple[int, str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "models"
    place.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(*STAGES[stage], raising(*problem))
        with pytest.raises(
            ExportError, match=rf"models/out cannot be written \({problem[1]}\); make room, or"
        ) as caught:
            convert("nafnet", checkpoint, place / "out")
    assert "\n" not in str(caught.value)
    assert content_of(place) == []
    convert("nafnet", checkpoint, place / "out")  # the place is as good as before
    assert content_of(place) == ["out"]


@pytest.mark.parametrize("calls", [1, 2])
def test_a_disk_that_fills_at_either_of_the_small_files_leaves_nothing(
    calls: int, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = Path.write_text, []

    def write(path: Path, *arguments: Any, **options: Any) -> int:
        written.append(path.name)
        if len(written) == calls:
            raise OSError(*FULL)
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", write)
        with pytest.raises(ExportError, match="No space left on device"):
            convert("nafnet", checkpoint, tmp_path / "made" / "out")
    assert written == ["model_index.json", "ldrestore.json"][:calls]
    assert content_of(tmp_path / "made") == []


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a disk that is full."""
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("num_bytes", [0, 50, 1000, 8192])
def test_a_full_disk_is_one_line_and_leaves_nothing(num_bytes: int, checkpoint: Path, tmp_path: Path) -> None:
    message = r"out cannot be written \(.*\); make room, or name"
    with pytest.raises(ExportError, match=message) as caught, files_of_at_most(num_bytes):
        convert("nafnet", checkpoint, tmp_path / "made" / "out")
    assert "\n" not in str(caught.value)
    assert content_of(tmp_path / "made") == []


def test_what_safetensors_cannot_write_is_told_the_same_way(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        with whole_folder(folder) as written:
            written.mkdir()
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(ExportError, match=r"out cannot be written \(.*No space left on device.*\); make room"):
        write(tmp_path / "out")
    assert content_of(tmp_path) == []


@pytest.mark.parametrize(
    "kind", ["nothing", "empty folder", "link to nothing", "link to an empty folder", "below nothing"]
)
def test_new_places_of_every_kind_get_the_whole_model(kind: str, checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    if "folder" in kind:
        (tmp_path / "real").mkdir()
    if kind == "empty folder":
        (tmp_path / "real").rename(target)
    elif "link" in kind:
        target.symlink_to(tmp_path / "real")
    elif kind == "below nothing":
        target = tmp_path / "a/b/c"
    assert convert("nafnet", checkpoint, target) == target
    assert target.is_symlink() == ("link" in kind)
    assert {"model_index.json", "ldrestore.json", "regressor"} <= set(content_of(target))
    assert not [path for path in tmp_path.rglob("*") if ".partial" in path.name]


def test_places_that_hold_something_keep_it(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/.hidden").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "link", "file"):
        with pytest.raises(InputError, match=rf"{name} exists and is not an empty folder; name a new one"):
            convert("nafnet", checkpoint, tmp_path / name)
    assert (tmp_path / "full/.hidden").read_text() == (tmp_path / "file").read_text() == "mine"


def test_loops_of_links_and_names_that_cannot_be_are_one_line(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("loop", "loop/inside", "n" * 256, "null\0"):
        with pytest.raises(ExportError, match=r"cannot be written \(.*\); make room, or name a folder") as caught:
            convert("nafnet", checkpoint, tmp_path / name)
        assert "\n" not in str(caught.value)
    assert content_of(tmp_path) == ["loop", "published"]


@pytest.mark.parametrize(
    "name", [b"n" * 255, b"\xff\xfe not utf-8", b"line\nbreak", b"\x1b[31mred", b"-rf", b".hidden", b"%s"]
)
def test_names_of_every_kind_are_folders_and_files_like_others(name: bytes, checkpoint: Path, tmp_path: Path) -> None:
    source, target = (Path(os.fsdecode(os.fsencode(tmp_path / place) + b"/" + name)) for place in ("in", "out"))
    source.parent.mkdir()
    source.write_bytes(checkpoint.read_bytes())
    convert("nafnet", source, target)
    assert os.listdir(os.fsencode(tmp_path / "out")) == [name]
    origin = json.loads((target / "ldrestore.json").read_text(encoding="utf-8"))
    assert origin["source_file"] == source.name
    assert origin["source_sha256"] == hash_of_file(checkpoint)


def test_two_conversions_into_one_place_give_one_whole_model(checkpoint: Path, tmp_path: Path) -> None:
    def convert_late() -> None:
        with whole_folder(tmp_path / "out") as folder:
            folder.mkdir()
            (folder / "late.txt").write_text("late")
            convert("nafnet", checkpoint, tmp_path / "out")  # the other one, meanwhile

    with pytest.raises(ExportError, match="out cannot be written"):
        convert_late()
    assert content_of(tmp_path) == ["out", "published"]
    assert "late.txt" not in content_of(tmp_path / "out") and (tmp_path / "out" / WEIGHTS_PATH).is_file()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn])
def test_weights_of_every_precision_become_those_of_the_network(
    dtype: torch.dtype, checkpoint: Path, tmp_path: Path
) -> None:
    published = torch.load(checkpoint, weights_only=True)["params"]
    torch.save({key: value.to(dtype) for key, value in published.items()}, tmp_path / "other.pth")
    found = load_file(convert("nafnet", tmp_path / "other.pth", tmp_path / "out") / WEIGHTS_PATH)
    assert found.keys() == published.keys()
    for key, value in published.items():
        assert found[key].dtype == torch.float32
        assert torch.equal(found[key], value.to(dtype).float())


def test_integers_are_no_weights_of_a_network(checkpoint: Path, tmp_path: Path) -> None:
    published = torch.load(checkpoint, weights_only=True)["params"]
    torch.save({key: (value * 127).to(torch.int8) for key, value in published.items()}, tmp_path / "small.pth")
    with pytest.raises(WeightsError, match=r"small\.pth: .* holds torch\.int8, expected torch\.float32"):
        convert("nafnet", tmp_path / "small.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_recorded_hashes_are_those_of_the_file_and_of_the_network(checkpoint: Path, tmp_path: Path) -> None:
    folder = convert("nafnet", checkpoint, tmp_path / "out")
    origin = json.loads((folder / "ldrestore.json").read_text(encoding="utf-8"))
    network = create_regressor("nafnet", **OPTIONS)
    network.load_state_dict(load_file(folder / WEIGHTS_PATH))
    assert origin["weights_sha256"] == hash_of_weights(network)
    assert origin["source_sha256"] == hash_of_file(checkpoint)
    again = convert("nafnet", checkpoint, tmp_path / "again")
    assert hash_of_file(again / WEIGHTS_PATH) == hash_of_file(folder / WEIGHTS_PATH)


@pytest.mark.parametrize("name", ["nafnet", "clip_tower", "instructir_head", "faithdiff"])
def test_every_converter_refuses_files_that_are_missing_damaged_or_changed(name: str, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "a.pth"
    with pytest.raises(WeightsUnavailableError, match=r"no checkpoint at .*a\.pth; check the path"):
        convert(name, path, out)
    torch.save({"a.weight": torch.ones(3)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"a\.pth cannot be read as weights alone: it is cut off"):
        convert(name, path, out)
    path.write_bytes(content)
    (tmp_path / "a.pth.sha256").write_text("0" * 64)
    with pytest.raises(WeightsError, match=r"a\.pth is not what a\.pth\.sha256 says"):
        convert(name, path, out)
    (tmp_path / "a.pth.sha256").unlink()
    torch.save({"a.weight": torch.tensor([float("nan")])}, path)
    with pytest.raises(WeightsError, match=r"a\.pth: a\.weight hold NaN or infinite values"):
        convert(name, path, out)
    assert content_of(tmp_path) == ["a.pth"]
