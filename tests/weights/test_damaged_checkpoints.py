"""Checkpoints that were cut off, changed, or hold what no network computes with: one line with file and reason."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights.hashes import hash_of_file
from ldrestore.weights.published_files import check_finite_weights, check_recorded_hash, is_safetensors, read_checkpoint

LAYOUTS = ("archive", "old pickle", "safetensors", "wrapped archive", "wrapped safetensors")


def weights() -> dict[str, Tensor]:
    return {"a.weight": torch.arange(6, dtype=torch.float32).view(2, 3), "b": torch.full((40,), 0.5)}


def write(path: Path, layout: str) -> bytes:
    """A file of the weights, and its bytes."""
    if layout.endswith("safetensors"):
        prefix = "params_ema.module." if layout.startswith("wrapped") else ""
        save_file({prefix + key: value for key, value in weights().items()}, path)
    else:
        content = {"params": weights(), "epoch": 3} if layout.startswith("wrapped") else weights()
        torch.save(content, path, _use_new_zipfile_serialization=layout != "old pickle")
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_cut_off_at_any_length_is_one_line_that_names_it(layout: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut{suffix}"
    content = write(path, layout)
    lengths = {*range(12), *range(12, len(content), len(content) // 60 + 1), *range(len(content) - 4, len(content))}
    for length in sorted(lengths):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=rf"/cut{suffix} ") as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value), length
        assert "download it again" in str(caught.value), length


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_follows_the_weights_never_changes_them(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "long.pth"
    path.write_bytes(write(path, layout) + bytes(64))
    if layout.endswith("safetensors"):
        with pytest.raises(WeightsError, match=r"long\.pth is no intact safetensors file"):
            read_checkpoint(path)
    else:  # what torch reads ends where its own end is
        found = read_checkpoint(path)
        assert all(torch.equal(found[key], value) for key, value in weights().items())


def safetensors_bytes(header: object, data: bytes = bytes(24)) -> bytes:
    """A safetensors file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        safetensors_bytes(b"{"),
        safetensors_bytes(b"{" + b"\xff" * 20),
        safetensors_bytes({"a": 3}),
        safetensors_bytes({"a": {"dtype": "F33", "shape": [6], "data_offsets": [0, 24]}}),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [7], "data_offsets": [0, 24]}}),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [-6], "data_offsets": [0, 24]}}),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [6], "data_offsets": [8, 32]}}),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 24]}}),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}),  # 12 bytes belong to nothing
        struct.pack("<Q", 10**15) + b"{}",
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
def test_headers_that_contradict_the_file_are_refused(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"/{name} ") as caught:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(caught.value)


def zip_of(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        zip_of("readme.txt", b"no weights"),
        zip_of("archive/data.pkl", b"\x80\x02}."),
        zip_of("archive/data.pkl", b"\x80\x02K\x05."),
        b"\x80\x02K\x05.",
        b"\x1f\x8b\x08\0" + bytes(40),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        b"<!DOCTYPE html><html><body>Too many requests</body></html>",
        b"\x93NUMPY\x01\0" + bytes(80),
        bytes(200),
    ],
    ids=["zip", "empty mapping", "number", "old number", "gzip", "git-lfs", "page", "numpy", "zeros"],
)
@pytest.mark.parametrize("name", ["download.pth", "download.safetensors"])
def test_what_is_no_checkpoint_is_refused_whatever_it_is_called(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"/{name} ") as caught:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("as_safetensors", [True, False])
def test_a_single_undefined_weight_of_any_precision_is_named(
    dtype: torch.dtype, value: float, as_safetensors: bool, tmp_path: Path
) -> None:
    broken = {"ok.weight": torch.ones(3, dtype=dtype), "body.3.bias": torch.zeros(50, dtype=dtype)}
    broken["body.3.bias"][37] = value
    content = {f"params.module.{key}": tensor for key, tensor in broken.items()}
    (save_file if as_safetensors else torch.save)(content, tmp_path / "diverged.pth")
    with pytest.raises(WeightsError, match=r"diverged\.pth: body\.3\.bias hold NaN or infinite values") as caught:
        read_checkpoint(tmp_path / "diverged.pth")
    assert "ok.weight" not in str(caught.value)


def test_of_many_undefined_weights_the_first_three_are_named_and_the_rest_counted() -> None:
    broken = {f"layer{index}": torch.tensor([float("nan")]) for index in range(7)}
    with pytest.raises(WeightsError, match=r"x\.pth: layer0, layer1, layer2 and 4 more hold NaN"):
        check_finite_weights(broken, source="x.pth")


def test_the_largest_and_smallest_finite_weights_integers_and_empty_ones_pass() -> None:
    limits = {
        str(dtype): torch.tensor([torch.finfo(dtype).max, torch.finfo(dtype).min, torch.finfo(dtype).tiny], dtype=dtype)
        for dtype in (torch.float16, torch.bfloat16, torch.float32)
    }
    check_finite_weights(limits, source="x.pth")
    others = {"none": torch.empty(0, 3), "steps": torch.tensor(2**62), "mask": torch.tensor([True, False])}
    check_finite_weights(others, source="x.pth")


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        lambda: torch.eye(3).to_sparse_csr(),
        lambda: torch.eye(3).to_sparse(),
    ],
    ids=["quantised", "rows", "coordinates"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_plain_ones_are_named(make: Callable[[], Tensor], tmp_path: Path) -> None:
    torch.save({"good": torch.ones(2), "odd.weight": make()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth: odd\.weight is no plain tensor; .*ask for plain weights"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (struct.pack("<Q", 2) + b"{", True),
        (struct.pack("<Q", 100_000_000) + b"{", True),
        (struct.pack("<Q", 100_000_001) + b"{", False),
        (struct.pack("<Q", 2) + b"[", False),
        (struct.pack("<Q", 2), False),
        (b"PK\x03\x04\0\0\0\0{", True),  # 67,324,752 bytes of header: an archive of torch goes on otherwise
        (b"", False),
    ],
)
def test_a_safetensors_file_is_told_by_length_and_brace(head: bytes, is_one: bool) -> None:
    assert is_safetensors(head) == is_one


def digests() -> dict[str, Callable[[str], bytes]]:
    """How programs write a hash beside a file: name to bytes of the record."""
    other = "0" * 64
    return {
        "sha256sum": lambda digest: f"{digest}  model.pth\n".encode(),
        "sha256sum --binary": lambda digest: f"{digest} *model.pth\n".encode(),
        "sha256sum --tag": lambda digest: f"SHA256 (model.pth) = {digest}\n".encode(),
        "of a name with a backslash": lambda digest: f"\\{digest}  model.pth\n".encode(),
        "alone": lambda digest: digest.encode(),
        "capitals": lambda digest: f"{digest.upper()}\r\n".encode(),
        "with a mark of the byte order": lambda digest: f"\ufeff{digest}".encode(),
        "of Windows' shell": lambda digest: f"\ufeffAlgorithm Hash\r\nSHA256 {digest.upper()}\r\n".encode("utf-16-le"),
        "of several files": lambda digest: f"{other}  old-model.pth\n{digest}  ./model.pth\n".encode(),
        "with a remark": lambda digest: f"# of the second release\n{digest}  model.pth\n".encode(),
    }


@pytest.mark.parametrize("program", digests())
def test_the_hash_is_found_as_programs_write_it_and_a_changed_file_refused(program: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    write(path, "archive")
    digest = hash_of_file(path)
    (tmp_path / "model.pth.sha256").write_bytes(digests()[program](digest))
    check_recorded_hash(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(WeightsError, match=rf"is not what model\.pth\.sha256 says \(SHA-256 {digest[:12]}\.\.\.\)"):
        check_recorded_hash(path)


@pytest.mark.parametrize(
    "content", [b"", b"no hash", b"abc123  model.pth", b"f" * 63, b"f" * 65, b"\xff\xfe", b"\xff" * 9]
)
def test_a_record_without_a_hash_says_so(content: bytes, tmp_path: Path) -> None:
    write(tmp_path / "model.pth", "archive")
    (tmp_path / "model.pth.sha256").write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.pth\.sha256 holds no SHA-256; write it with .*, or remove"):
        check_recorded_hash(tmp_path / "model.pth")


def test_a_record_of_other_hashes_or_of_another_file_matters_not_at_all(tmp_path: Path) -> None:
    write(tmp_path / "model.pth", "archive")
    (tmp_path / "model.pth.md5").write_text("0" * 32)
    (tmp_path / "other.pth.sha256").write_text("0" * 64)
    (tmp_path / "model.pth.sha256").mkdir()
    check_recorded_hash(tmp_path / "model.pth")


def test_a_name_that_leaves_no_room_for_a_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".pth")
    write(path, "archive")
    check_recorded_hash(path)
    assert read_checkpoint(path).keys() == weights().keys()


def test_folders_loops_of_links_and_names_beyond_the_file_system_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "loop.pth").symlink_to(tmp_path / "loop.pth")
    for path in (tmp_path, tmp_path / "loop.pth", tmp_path / ("n" * 300), tmp_path / "absent/a.pth"):
        check_recorded_hash(path)
        with pytest.raises(WeightsUnavailableError, match=r"no checkpoint at .*; check the path"):
            read_checkpoint(path)
