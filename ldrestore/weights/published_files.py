"""Checkpoint files as others publish them, safetensors or pickle, told by their content, without what wraps weights.

Pickles are read here and nowhere else, with `weights_only=True` and a short list of harmless types.
"""

import os
import pickle
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights.hashes import hash_of_file

WRAPPERS = (
    *("params_ema", "params-ema", "state_dict_ema", "ema_state_dict", "model_ema", "ema_model", "net_ema"),
    *("generator_ema", "g_ema", "ema"),
    *("params", "state_dict", "model_state_dict", "network_g", "netG", "net_g", "generator", "model", "net", "weights"),
    "online_model",
)
"""Names under which checkpoints keep their weights, in the order of preference, averaged ones first: as a key of a
pickle, or before every key."""

PREFIXES = ("module.", "net.", "model.", "_orig_mod.", "generator.")
"""What DistributedDataParallel, Lightning, torch.compile and trainers of several networks put before every key."""

COMPANIONS = (
    *("discriminator", "network_d", "net_d", "netD", "criterion", "loss", "loss_fn", "perceptual", "lpips", "vgg"),
    *("metrics", "train_metrics", "val_metrics", "psnr", "ssim"),
)
"""Names of what is saved beside the wanted network in one state dict, and left out."""

COMPILED = "_orig_mod."
"""What torch.compile puts before the keys of a module, wherever in a network that is."""

AVERAGE_COUNTERS = ({"n_averaged"}, {"num_updates", "decay"}, {"initted", "step"}, {"step_counter"})
"""What stands beside averaged weights, or alone: of `torch.optim.swa_utils.AveragedModel`, LitEma, ema-pytorch and
MMEditing, which counts its steps so beside any weights."""

PLAIN_VALUES = (bool, int, float, str, np.generic, type(None))
"""What may stand among tensors and is no weight, such as the number of an epoch, or a module's extra state."""

PICKLE_ALLOW_LIST: tuple[Any, ...] = (
    Namespace,
    (dict, "pytorch_lightning.utilities.parsing.AttributeDict"),
    (dict, "lightning_fabric.utilities.data.AttributeDict"),
    np.dtype,
    *((np.float64(0).__reduce__()[0], f"numpy.{place}.multiarray.scalar") for place in ("core", "_core")),
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")),
)
"""What files hold beside tensors and plain values: Lightning's hyper-parameters, read as plain mappings, and numbers of
numpy, such as the best score."""

DEEPEST_WRAPPING = 8
"""So many mappings, one inside another, are looked into; a pickle may hold one that holds itself."""

PICKLE_STARTS = (b"PK\x03\x04", b"\x80")
"""First bytes of what torch saves today, and saved before it wrote archives."""

LARGEST_HEADER = 100_000_000
"""Bytes of a safetensors header; the format's own limit."""

_DIGEST = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The weights of a checkpoint file, without wrappers and prefixes.

    Args:
        path: A safetensors file, or a pickle as published (.pth, .pt, .ckpt), which is read with `weights_only=True`.
            The content tells which of them it is; the suffix does not matter.

    Returns:
        Key to tensor, on the CPU; all finite.

    Raises:
        WeightsUnavailableError: nothing lies there.
        WeightsError: the file is damaged or cut off, holds more than weights, no weights at all, or weights that are
            NaN or infinite.
    """
    path = Path(path)
    weights = unwrapped(_read_content(path), path)
    check_finite_weights(weights, source=str(path))
    return weights


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The weights of a checkpoint file under the very keys that they have there, for those who know layouts by them.

    Args:
        path: See `read_checkpoint`.

    Returns:
        Key to tensor, on the CPU.

    Raises:
        WeightsUnavailableError: nothing lies there.
        WeightsError: the file is damaged or cut off, holds more than weights, or no weights at all.
    """
    path = Path(path)
    tensors = _state_dict_in(_read_content(path))
    if tensors is None:
        raise WeightsError(f"{path} holds no weights; expected a state dict, alone or under {', '.join(WRAPPERS)}")
    return {str(key): value.detach() for key, value in tensors.items()}


def _read_content(path: Path) -> object:
    """What a checkpoint file holds, told by its content.

    Raises:
        WeightsUnavailableError: nothing lies there.
        WeightsError: it is damaged or cut off, or holds more than weights.
    """
    if not os.path.isfile(path):
        raise WeightsUnavailableError(f"no checkpoint at {path}; check the path")
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsUnavailableError(f"{path} cannot be opened ({error.strerror}); check its permissions") from error
    is_named_so = path.suffix.lower() == ".safetensors" and not head.startswith(PICKLE_STARTS)
    return _read_safetensors(path) if is_safetensors(head) or is_named_so else _read_pickle(path, head)


def check_recorded_hash(path: Path) -> None:
    """Hold a file against the hash that lies beside it as `NAME.sha256`, if one does.

    Args:
        path: The file. What lies beside it has the 64 digits of its SHA-256, as `sha256sum` writes them, tagged or not;
            where it has those of several files, the line that names this one counts.

    Raises:
        WeightsUnavailableError: one of the two cannot be opened.
        WeightsError: the file has another hash, or what lies beside it has none.
    """
    record = path.with_name(f"{path.name}.sha256")
    if not os.path.isfile(path) or not os.path.isfile(record):  # of names that are too long the methods raise
        return
    try:
        expected, found = _recorded_hash(record, path.name), hash_of_file(path)
    except OSError as error:
        raise WeightsUnavailableError(f"{path} cannot be checked ({error.strerror}); check its permissions") from error
    if found != expected:
        raise WeightsError(f"{path} is not what {record.name} says (SHA-256 {expected[:12]}...); download it again")


def _recorded_hash(record: Path, name: str) -> str:
    """The hash of a file that a record states.

    Args:
        record: Of one or several files.
        name: Of the file.

    Raises:
        WeightsError: it holds no hash.
    """
    content = record.read_bytes()
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Windows' shell writes
    lines = content.decode("utf-16" if is_wide else "utf-8-sig", errors="replace").splitlines()
    found = [(line, match[0].lower()) for line in lines if (match := _DIGEST.search(line))]
    if not found:
        raise WeightsError(f"{record} holds no SHA-256; write it with sha256sum, or remove it")
    named = re.compile(rf"(?:^|[\s*(/]){re.escape(name)}(?:[\s)]|$)")
    return next((digest for line, digest in found if named.search(line)), found[0][1])


def is_safetensors(head: bytes) -> bool:
    """Whether a file's first 9 bytes are those of a safetensors file: the length of its header, and a brace."""
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= LARGEST_HEADER


def unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    """The state dict inside what a checkpoint holds, its keys as the network names them.

    Args:
        content: What was read.
        path: The file, for messages.

    Raises:
        WeightsError: there is none.
    """
    tensors = _state_dict_in(content)
    if tensors is None:
        raise WeightsError(f"{path} holds no weights; expected a state dict, alone or under {', '.join(WRAPPERS)}")
    weights = {str(key).replace(COMPILED, ""): value.detach() for key, value in tensors.items()}
    while True:
        for counters in AVERAGE_COUNTERS:
            if counters <= weights.keys():  # one alone may be a network's own
                weights = {key: value for key, value in weights.items() if key not in counters}
        prefix = _prefix_of(weights)
        if prefix is None:
            return weights
        wanted = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        others = {key: value for key, value in weights.items() if not key.startswith(prefix)}
        weights = dict(_with_dots(wanted, others))


def _with_dots(average: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """An average whose keys have lost their dots, as those of LitEma have, under the keys of the network beside it.

    Args:
        average: Weights that were found.
        others: What lies beside them.

    Returns:
        The network beside them with its weights averaged, and buffers, of which LitEma keeps none, as they are; the
        found weights themselves where they have dots, or nothing beside them has their names.
    """
    names = set(average).difference(*AVERAGE_COUNTERS)
    if not others or any("." in name for name in names):
        return average
    prefixes = {"", *(f"{key.partition('.')[0]}." for key in others)}
    for prefix in sorted(prefixes):
        own = {key.removeprefix(prefix): value for key, value in others.items() if key.startswith(prefix)}
        dotted = {key.replace(".", ""): key for key in own}
        if names <= dotted.keys() and any("." in key for key in own):
            return own | {dotted[name]: average[name] for name in names}
    return average


def _state_dict_in(content: object, depth: int = 0) -> Mapping[Any, Tensor] | None:
    """What holds tensors and nothing else: the content itself, what lies under a usual name, or the only such part."""
    if not isinstance(content, Mapping) or not content or depth > DEEPEST_WRAPPING:
        return None
    if all(isinstance(value, (Tensor, *PLAIN_VALUES)) for value in content.values()):
        tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
        return tensors if tensors and not _are_counters(tensors) else None
    for name in WRAPPERS:
        if (found := _state_dict_in(content.get(name), depth + 1)) is not None:
            return _with_dots(found, _beside(name, content))
    parts = [part for part in content.values() if isinstance(part, Mapping) and part]
    whole = [
        part for part in parts if all(isinstance(value, Tensor) for value in part.values()) and not _are_counters(part)
    ]
    return whole[0] if len(whole) == 1 else None


def _beside(name: str, content: Mapping[Any, object]) -> dict[str, Tensor]:
    """The tensors of all parts of a checkpoint but one, their part's name before their keys."""
    parts = {other: part for other, part in content.items() if other != name and isinstance(part, Mapping)}
    return {
        f"{other}.{key}": value
        for other, part in parts.items()
        for key, value in part.items()
        if isinstance(value, Tensor)
    }


def _are_counters(names: Iterable[Any]) -> bool:
    """Whether names are those of an average's counters, without any of weights."""
    return any(set(names) <= counters for counters in AVERAGE_COUNTERS)


def check_finite_weights(weights: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse weights that no network computes with.

    Args:
        weights: Key to tensor.
        source: Where they come from, for the message.

    Raises:
        WeightsError: values are NaN or infinite, or a tensor is no plain one; the message names the first keys.
    """
    broken = []
    for key, tensor in weights.items():
        num_bytes = tensor.numel() * tensor.element_size()
        is_plain = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
        if not is_plain or num_bytes > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{source}: {key} is no plain tensor; download it again, or ask for plain weights")
        # In float32, since a double may be finite and too large for the network.
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            broken.append(key)
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise WeightsError(
            f"{source}: {', '.join(broken[:3])}{more} hold NaN or infinite values, as after training that diverged; "
            "take an earlier checkpoint, or download it again"
        )


def _prefix_of(weights: Mapping[str, Tensor]) -> str | None:
    """What stands before every key that is wanted, or None."""
    for prefix in (*PREFIXES, *(f"{name}." for name in WRAPPERS)):
        if weights and all(key.startswith(prefix) for key in weights):
            return prefix
    first = {key.partition(".")[0] for key in weights if "." in key} if all("." in key for key in weights) else set()
    wanted = (*WRAPPERS, *(prefix.rstrip(".") for prefix in PREFIXES))
    names = [name for name in wanted if name in first and not _are_counters(_behind(f"{name}.", weights))]
    if names and first <= {*wanted, *COMPANIONS}:  # several networks, or a network and its average
        return f"{names[0]}."
    return None


def _behind(prefix: str, weights: Mapping[str, Tensor]) -> list[str]:
    """The rest of the keys that begin with a prefix."""
    return [key.removeprefix(prefix) for key in weights if key.startswith(prefix)]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        WeightsError: it is damaged or cut off.
    """
    try:
        return load_file(path)
    except Exception as error:  # a damaged header makes the reader raise anything
        reason = str(error) if isinstance(error, SafetensorError) else f"{type(error).__name__}: {error}"
        raise WeightsError(f"{path} is no intact safetensors file ({reason}); download it again") from error


def _read_pickle(path: Path, head: bytes) -> object:
    """Whatever a pickled checkpoint holds, read without running its code.

    Raises:
        WeightsError: torch is too old to do this safely, or the file is damaged, or holds more than weights.
    """
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 10):  # CVE-2026-24747
        raise WeightsError(f"reading a pickled checkpoint safely needs torch 2.10 or newer, got {torch.__version__}")
    is_zip = head.startswith(PICKLE_STARTS[0])
    if is_zip and not zipfile.is_zipfile(path):  # its directory is at the end
        raise WeightsError(f"{path} cannot be read as weights alone: it is cut off; download it again")
    with torch.serialization.safe_globals(list(PICKLE_ALLOW_LIST)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kinds of tensors that are refused afterwards
        try:
            with path.open("rb") as file:  # of a path torch would look at the suffix
                # older pickles cannot be searched before they are read
                forbidden = torch.serialization.get_unsafe_globals_in_checkpoint(file) if is_zip else []
                if not forbidden:
                    file.seek(0)
                    return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file makes zip and pickle readers raise anything
            is_foreign = isinstance(error, pickle.UnpicklingError)
            raise WeightsError(
                f"{path} cannot be read as weights alone: it is damaged, no checkpoint, or holds Python objects, which "
                f"are never loaded{'' if is_foreign else f' ({type(error).__name__})'}; download it again, or ask its "
                "authors for a safetensors file"
            ) from error
    raise WeightsError(
        f"{path} holds objects of {', '.join(sorted(forbidden))}, which are never loaded, since they could run code; "
        "ask its authors for plain weights or a safetensors file"
    )
