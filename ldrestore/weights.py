"""Weights on disk and in memory: finding folders, strict loading, hashes."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ldrestore.errors import WeightsError, WeightsUnavailableError

MODEL_FILES = ("*.json", "*.safetensors", "*.md", "*.txt")
"""What is fetched of a Hub repository, never code; a tokenizer may keep its merges as text."""

ORIGIN_FILE = "ldrestore.json"
"""Beside a converted model: where the weights come from, and their licence."""

ALIGNMENT = 64
"""Bytes; what torch's own allocations are aligned to."""


_fetched: dict[tuple[object, ...], Path] = {}
"""What this process has fetched: the Hub is asked once for each repository, not for each picture."""


def find_folder(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    patterns: Sequence[str] = MODEL_FILES,
) -> Path:
    """A folder of weights, fetched from the Hub where it is not on the disk.

    Args:
        name_or_path: A folder, or a Hub repository "owner/name"; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache is looked into.
        patterns: Names of the files that are fetched, as globs.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    folder = Path(name_or_path)
    if folder.is_dir():
        return folder
    request = (str(name_or_path), revision, tuple(patterns), os.environ.get("HF_HOME"), os.environ.get("HF_ENDPOINT"))
    folder = _fetched.get(request, folder)
    if not folder.is_dir():
        try:
            folder = Path(
                snapshot_download(
                    str(name_or_path),
                    revision=revision,
                    local_files_only=local_files_only,
                    allow_patterns=list(patterns),
                )
            )
        except (OSError, HFValidationError) as error:  # no connection, no such repository, no such name
            reason = str(error).strip().splitlines()[0]
            raise WeightsUnavailableError(
                f"no folder {str(name_or_path)!r}, and it cannot be fetched from the Hub ({reason}); give the path of "
                "a local folder, set HF_ENDPOINT to a mirror, or fill the cache on a connected machine and set "
                "HF_HUB_OFFLINE=1"
            ) from error
        if not local_files_only:  # a cache may hold a part only
            _fetched[request] = folder
    return folder


def find_model_folder(name_or_path: str | Path, *, revision: str | None = None, local_files_only: bool = False) -> Path:
    """The folder of a saved pipeline, fetched from the Hub where it is not on the disk.

    Args:
        name_or_path: A folder, or a Hub repository "owner/name"; HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE are honoured.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    folder = find_folder(name_or_path, revision=revision, local_files_only=local_files_only)
    if not (folder / "model_index.json").is_file():
        raise WeightsUnavailableError(f"{folder} is no saved pipeline: it has no model_index.json; name its folder")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that belongs to a model.

    Raises:
        WeightsError: it is damaged, or holds no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON ({error}); fetch the model again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds no JSON object; fetch the model again")
    return content


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a component's safetensors files, from their headers alone.

    Args:
        folder: The component's folder; its weights are in one file or in several.

    Raises:
        WeightsUnavailableError: it has no safetensors file; pickles are read by `convert` alone.
        WeightsError: a file is damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise WeightsUnavailableError(
            f"{folder} has no safetensors weights; make them with ldrestore.conversion.convert"
        )
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                keys = list(file.keys())
                shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in keys}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is no intact safetensors file ({error}); fetch it again") from error
    return shapes


def check_fit(network: nn.Module, shapes: Mapping[str, Sequence[int]], *, source: str) -> None:
    """Refuse weights that are not a network's: every key must be there, none left over, all shapes alike.

    Args:
        network: May lie on the meta device.
        shapes: Key to shape.
        source: Where the weights come from, for the message.

    Raises:
        WeightsError: a key is missing or unexpected, or a shape differs; the message names the first ones.
    """
    own = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    problems = [f"missing {key}" for key in own if key not in shapes]
    problems += [f"unexpected {key}" for key in shapes if key not in own]
    problems += [
        f"{key} is {tuple(shapes[key])}, expected {own[key]}"
        for key in own
        if key in shapes and tuple(shapes[key]) != own[key]
    ]
    if problems:
        raise WeightsError(
            f"{source} does not fit {type(network).__name__}: {len(problems)} problems, "
            f"first {'; '.join(problems[:4])}; check architecture and layout"
        )


def load_strictly(network: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network; every key must be there, none left over, all shapes alike.

    Args:
        network: Filled in place.
        weights: Key to tensor.
        source: Where they come from, for the message.

    Raises:
        WeightsError: a key is missing or unexpected, or a shape or the kind of numbers differs; the message names the
            first ones.
    """
    check_fit(network, {key: tensor.shape for key, tensor in weights.items()}, source=source)
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point() != weights[key].is_floating_point():
            raise WeightsError(
                f"{source}: {key} holds {weights[key].dtype}, expected {tensor.dtype}; download it again"
            )
    network.load_state_dict(weights)


def align_weights(network: nn.Module) -> None:
    """Copy parameters and buffers that lie at odd addresses, in place.

    Tensors that are mapped from a file start anywhere, and the CPU's convolutions sum in another order there: without
    this, a loaded network would differ from the saved one in the last bits.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.data_ptr() % ALIGNMENT:
            tensor.data = tensor.data.clone()


def hash_of_weights(network: nn.Module) -> str:
    """SHA-256 over keys, types, shapes and bytes of all weights, as hexadecimal digits; equal on every device."""
    digest = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().flatten()  # a scalar has no axis whose type a view could change
        digest.update(values.view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def hash_of_file(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_modules(weights: Mapping[str, Tensor], prefix: str) -> int:
    """How many different names follow a prefix such as "encoders.", in a checkpoint's keys."""
    return len({key.removeprefix(prefix).partition(".")[0] for key in weights if key.startswith(prefix)})
