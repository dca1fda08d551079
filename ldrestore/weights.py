"""Weights on disk and in memory: reading checkpoints safely, strict loading, hashes."""

import hashlib
import json
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ldrestore.errors import WeightsError, WeightsUnavailableError

WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys under which released checkpoints keep their weights, in the order of preference."""

PICKLE_ALLOW_LIST = (
    Namespace,
    (dict, "pytorch_lightning.utilities.parsing.AttributeDict"),
    (dict, "lightning_fabric.utilities.data.AttributeDict"),
)
"""What Lightning files hold beside tensors and plain values, their hyper-parameters; read as plain mappings."""

PREFIXES = ("module.", "net.")
"""Prefixes that wrappers such as DistributedDataParallel and Lightning put before every key."""

MODEL_FILES = ("*.json", "*.safetensors", "*.md")
"""What is fetched of a Hub repository; never code."""

ORIGIN_FILE = "ldrestore.json"
"""Beside a converted model: where the weights come from, and their licence."""

ALIGNMENT = 64
"""Bytes; what torch's own allocations are aligned to."""


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


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The weights of a checkpoint file, without wrappers and prefixes.

    Args:
        path: A safetensors file, or a pickle as published (.pth, .pt, .ckpt), which is read with `weights_only=True`.

    Returns:
        Key to tensor, on the CPU.

    Raises:
        WeightsUnavailableError: nothing lies there.
        WeightsError: the file is damaged, holds more than weights, or no weights at all.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsUnavailableError(f"no checkpoint at {path}; check the path")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise WeightsError(f"{path} is no intact safetensors file ({error}); download it again") from error
    return _unwrapped(_read_pickle(path), path)


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
        WeightsError: a key is missing or unexpected, or a shape differs; the message names the first ones.
    """
    check_fit(network, {key: tensor.shape for key, tensor in weights.items()}, source=source)
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


def _read_pickle(path: Path) -> object:
    """Whatever a pickled checkpoint holds, read without running its code.

    Raises:
        WeightsError: torch is too old to do this safely, or the file holds more than weights.
    """
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 10):  # CVE-2026-24747
        raise WeightsError(f"reading a pickled checkpoint safely needs torch 2.10 or newer, got {torch.__version__}")
    with torch.serialization.safe_globals(list(PICKLE_ALLOW_LIST)):
        try:
            is_zip = zipfile.is_zipfile(path)  # older pickles cannot be searched before they are read
            forbidden = torch.serialization.get_unsafe_globals_in_checkpoint(path) if is_zip else []
            if not forbidden:
                return torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError) as error:
            raise WeightsError(
                f"{path} cannot be read as weights alone: it is damaged, no checkpoint, or holds Python objects, which "
                "are never loaded; download it again, or ask its authors for a safetensors file"
            ) from error
    raise WeightsError(
        f"{path} holds objects of {', '.join(sorted(forbidden))}, which are never loaded, since they could run code; "
        "ask its authors for plain weights or a safetensors file"
    )


def _unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    """The state dict inside what a checkpoint holds.

    Raises:
        WeightsError: there is none.
    """
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    tensors = content if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise WeightsError(f"{path} holds no weights; expected a state dict, alone or under {', '.join(WRAPPERS)}")
    weights = {str(key): value for key, value in tensors.items()}
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in weights):
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights
