"""Checkpoints of trained parts alone, with a pointer to the base that they were trained upon and do not copy."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer

from ldrestore import __version__
from ldrestore.assets.catalog import embedded_folder
from ldrestore.checkpoints.bases import find_base
from ldrestore.checkpoints.diffusion_folder import check_scheduler_entry, make_ready
from ldrestore.checkpoints.part_table import PartTable
from ldrestore.checkpoints.run_exports import load_trained_part
from ldrestore.checkpoints.saved_folder import NO_PART, check_class
from ldrestore.checkpoints.whole_folder import whole_folder, write_json
from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.sampling.denoising import prediction_type_of
from ldrestore.weights.compiled import uncompiled
from ldrestore.weights.file_names import ADAPTERS_FILE
from ldrestore.weights.folders import find_folder, read_json
from ldrestore.weights.hashes import cached_hash

ADAPTERS_FORMAT = 1
"""Of their file."""

NUM_TENSORS, NUM_VALUES = 32, 8
"""Weights of a network that are written down, to know it again in any number format."""

WEIGHT_TOLERANCE = 0.01
"""By which they may differ, in the mean square and relative to themselves; bfloat16 makes 0.002 at most."""


def write_adapters(
    folder: str | Path, parts: Mapping[str, Any], *, table: PartTable, base: str | None, tuned: Sequence[str] = ()
) -> Path:
    """Write the trained parts, the scheduler and the pointer; all of it, or nothing.

    Tokenizers that no pipeline is without are written too, for bases in a single file, which has none.

    Args:
        folder: Must not hold anything yet.
        parts: Of the pipeline, by name.
        table: Which there are.
        base: Name of the base; None for what its U-Net says it was loaded from.
        tuned: Networks of the base that training has changed, which are written like the trained parts.

    Returns:
        The folder.

    Raises:
        InputError: the folder is not empty.
        ExportError: it cannot be written.
    """
    ours = {name: parts[name] for name in (*table.trained, *tuned) if parts[name] is not None}
    tokenizers = [name for name in table.base.tokenizers if name not in table.optional]
    content = {
        "format": ADAPTERS_FORMAT,
        "pipeline": table.pipeline,
        "ldrestore": __version__,
        "components": {name: table.exported[name].split(":") for name in ours},
        "scheduler": ["diffusers", type(parts["scheduler"]).__name__],
        "base": _pointer(parts, base, table=table),
        "frozen": {name: _identity(parts[name]) for name in table.frozen if name not in ours},
    }
    with whole_folder(folder) as written:
        for name in (*ours, *tokenizers):
            parts[name].save_pretrained(written / name)
        parts["scheduler"].save_pretrained(written / "scheduler")
        write_json(written / ADAPTERS_FILE, dict(sorted(content.items())))
    return Path(folder)


def is_adapters(name_or_path: str | Path, *, revision: str | None = None, local_files_only: bool = False) -> bool:
    """Whether a name stands for adapters alone, and not for a whole model.

    Args:
        name_or_path: A name of `list_models()`, a folder, or a Hub repository "owner/name", which is fetched.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    where = embedded_folder(name_or_path) or name_or_path
    return (find_folder(where, revision=revision, local_files_only=local_files_only) / ADAPTERS_FILE).is_file()


def read_pointer(
    name_or_path: str | Path, *, revision: str | None = None, local_files_only: bool = False
) -> tuple[Path, dict[str, Any]]:
    """The folder of adapters, and what they say of themselves.

    Args:
        name_or_path: A folder, or a Hub repository "owner/name".
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: it is damaged, or of a later version.
    """
    folder = find_folder(name_or_path, revision=revision, local_files_only=local_files_only)
    if not (folder / ADAPTERS_FILE).is_file():
        raise WeightsUnavailableError(f"{folder} holds no adapters: it has no {ADAPTERS_FILE}; name their folder")
    pointer = read_json(folder / ADAPTERS_FILE)
    if pointer.get("format") != ADAPTERS_FORMAT:
        raise WeightsError(
            f"{folder} has adapters of format {pointer.get('format')}, expected {ADAPTERS_FORMAT}; upgrade ldrestore"
        )
    absent = [key for key in ("components", "scheduler", "base", "frozen") if not pointer.get(key)]
    if absent:
        raise WeightsError(f"{folder / ADAPTERS_FILE} lacks {', '.join(absent)}; fetch the adapters again")
    damaged = _damaged_entries(pointer)
    if damaged:
        raise WeightsError(f"{folder / ADAPTERS_FILE}: {damaged[0]} is damaged; fetch the adapters again")
    return folder, pointer


def _damaged_entries(pointer: Mapping[str, Any]) -> list[str]:
    """What of a pointer is not as `write_adapters` writes it."""
    mappings = [key for key in ("components", "base", "frozen") if not isinstance(pointer[key], Mapping)]
    if mappings:
        return mappings
    base, frozen = pointer["base"], pointer["frozen"]
    names = [base.get("name") or "", base.get("prediction_type"), *_list_of(base.get("mirrors"))]
    found = [] if all(isinstance(name, str) for name in names) else ["base"]
    for name, identity in frozen.items():
        values = _list_of(identity.get("weights")) if isinstance(identity, Mapping) else [None]
        found += [] if all(isinstance(value, (int, float)) for value in values) else [f"frozen {name}"]
    return found


def _list_of(value: Any) -> list[Any]:
    """A list as it is; of anything else the list of None."""
    return value if isinstance(value, list) else [None]


def read_adapters(folder: Path, pointer: Mapping[str, Any], *, table: PartTable, dtype: torch.dtype) -> dict[str, Any]:
    """The trained parts and the scheduler; None for parts that there are not; the base's own where they were changed.

    Args:
        folder: Of the adapters.
        pointer: What they say of themselves.
        table: Which there may be.
        dtype: Number format of the weights.

    Raises:
        WeightsUnavailableError: a part has no safetensors weights.
        WeightsError: a part is missing, damaged or unknown.
    """
    import diffusers

    index = pointer["components"]
    unknown = sorted(set(index) - set(table.exported))
    missing = [name for name in table.trained if name not in table.optional and name not in index]
    if unknown or missing:
        problem = f"unknown parts {', '.join(unknown)}" if unknown else f"no {', '.join(missing)}"
        raise WeightsError(f"{folder} has {problem}; fetch the adapters again, or upgrade ldrestore")
    parts: dict[str, Any] = {}
    for name, target in table.exported.items():
        if index.get(name) in NO_PART:
            parts |= {name: None} if name in table.trained else {}
            continue
        if not (folder / name).is_dir():
            raise WeightsError(f"{folder} lacks its {name}; fetch the adapters again")
        check_class(folder, index, name, targets={target})
        parts[name] = load_trained_part(folder, name, table=table, dtype=dtype)
    make_ready(parts, name=folder.resolve().name)
    scheduler_class = getattr(diffusers, check_scheduler_entry(folder, pointer["scheduler"]))
    if not (folder / "scheduler" / "scheduler_config.json").is_file():
        raise WeightsError(f"{folder} lacks its scheduler; fetch the adapters again")
    return {**parts, "scheduler": scheduler_class.from_pretrained(folder / "scheduler")}


def read_tokenizers(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Those of some tokenizers that adapters bring, by name.

    Args:
        folder: Of the adapters.
        names: Which the base lacks.
    """
    return {name: AutoTokenizer.from_pretrained(folder / name) for name in names if (folder / name).is_dir()}


def check_base(parts: Mapping[str, Any], pointer: Mapping[str, Any], *, table: PartTable) -> None:
    """Refuse to put adapters upon another base than theirs; which number format it is in does not matter.

    Args:
        parts: Of the base, and the towers, by name.
        pointer: What the adapters say of themselves.
        table: Which of them are pointed at.

    Raises:
        WeightsError: the weights are others, or predict something else.
    """
    base = pointer["base"]
    for name in table.frozen:
        if name in pointer["components"]:
            continue
        if name not in pointer["frozen"]:
            raise WeightsError(f"these adapters do not say upon which {name} they were trained; fetch them again")
        if not _is_same(parts[name], pointer["frozen"][name]):
            known = ", ".join(filter(None, [base["name"], *base["mirrors"]])) or "unknown"
            raise WeightsError(
                f"these adapters are another base's: their {name} has other weights than the one given; use the base "
                f"they were trained upon ({known})"
            )
    own = prediction_type_of(parts["scheduler"])
    if own != base["prediction_type"]:
        raise WeightsError(
            f"these adapters are of a base that predicts {base['prediction_type']}, the one given predicts {own}; name "
            "theirs"
        )


def names_of_base(pointer: Mapping[str, Any]) -> list[str]:
    """Where the base of adapters may be, in the order to try.

    Raises:
        WeightsError: they do not say.
    """
    base = pointer["base"]
    names = [name for name in (base["name"], *base["mirrors"]) if name]
    if not names:
        raise WeightsError("these adapters do not say where their base is; give base, a folder, a file or a repository")
    return names


def _pointer(parts: Mapping[str, Any], name: str | None, *, table: PartTable) -> dict[str, Any]:
    """Where the base is, and what its U-Net predicts."""
    name = name or _public_name(parts["unet"].config.get("_name_or_path"))
    record = find_base(name) if name else None
    mirrors = [] if record is None else [one for one in (record.repository, *record.mirrors) if one != name]
    towers = {tower: _public_name(getattr(parts[tower].config, "_name_or_path", None)) for tower in table.towers}
    return {
        "name": name,
        "mirrors": mirrors,
        "licence": None if record is None else record.licence,
        "prediction_type": prediction_type_of(parts["scheduler"]),
        **towers,
    }


def _public_name(name: str | None) -> str | None:
    """A name that tells nothing of this disk: of a path, the last part."""
    return (Path(name).name if Path(name).is_absolute() or os.path.exists(name) else name) if name else None


def _identity(network: nn.Module) -> dict[str, Any]:
    """Hash and number format of all weights, and some of them."""
    network = uncompiled(network)
    return {
        "sha256": cached_hash(network),
        "dtype": str(network.dtype).removeprefix("torch."),
        "weights": [float(f"{value:.6g}") for value in _some_weights(network)],
    }


def _is_same(network: nn.Module, identity: Mapping[str, Any]) -> bool:
    """Whether some weights of a network are those written down, but for the number format."""
    found, expected = (torch.tensor(values) for values in (_some_weights(network), identity["weights"]))
    if found.shape != expected.shape:
        return False
    return bool((found - expected).norm() <= WEIGHT_TOLERANCE * expected.norm())


def _some_weights(network: nn.Module) -> list[float]:
    """Values from all over a network, always the same ones."""
    network = uncompiled(network)
    matrices = [tensor for _, tensor in sorted(network.state_dict().items()) if tensor.ndim > 1]
    values: list[float] = []
    for index in range(min(NUM_TENSORS, len(matrices))):
        flat = matrices[index * len(matrices) // min(NUM_TENSORS, len(matrices))].detach().flatten()
        places = torch.arange(NUM_VALUES) * (len(flat) - 1) // (NUM_VALUES - 1)  # float32 ends at 2^24
        values += flat[places.to(flat.device)].float().tolist()
    return values
