"""What training runs exported, to be put upon the base that they were trained upon."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ldrestore.checkpoints.bases import find_base
from ldrestore.checkpoints.diffusion_folder import make_ready
from ldrestore.checkpoints.part_table import PartTable
from ldrestore.checkpoints.saved_folder import check_part
from ldrestore.errors import WeightsUnavailableError
from ldrestore.registry import resolve
from ldrestore.weights.folders import find_folder


def load_exports(folders: Sequence[str | Path], *, table: PartTable, dtype: torch.dtype) -> dict[str, Any]:
    """Our parts from the exports of several runs; None for those that none of them has.

    Of the base's own networks there are those that a run has changed.

    Args:
        folders: Each holds parts in folders of their own names, as runs export and pipelines save them. Where two hold
            the same part, the later one counts.
        table: The parts that are trained.
        dtype: Number format of the weights.

    Raises:
        WeightsUnavailableError: a folder holds no part, or one without safetensors weights.
        WeightsError: a part is damaged.
    """
    places: dict[str, Path] = {}
    for folder in map(Path, folders):
        found = [name for name in table.exported if (folder / name / "config.json").is_file()]
        if not found:
            raise WeightsUnavailableError(
                f"{folder} holds none of {', '.join(table.exported)}; give the export of a run"
            )
        places |= dict.fromkeys(found, folder)
    parts: dict[str, Any] = dict.fromkeys(table.trained)
    for name, folder in places.items():
        parts[name] = load_trained_part(folder, name, table=table, dtype=dtype)
    make_ready(parts, name="exports")
    return parts


def load_trained_part(folder: Path, name: str, *, table: PartTable, dtype: torch.dtype) -> Any:
    """One of the parts that are trained, checked against its class.

    Args:
        folder: Has the part in a folder of its name.
        name: Of the part.
        table: Has its class.
        dtype: Number format of the weights.

    Raises:
        WeightsUnavailableError: there are no safetensors weights.
        WeightsError: config or weights are not the part's.
    """
    target = table.exported[name]
    check_part(folder, {name: target.split(":")}, name, targets={target})
    return resolve(target).from_pretrained(
        folder / name, local_files_only=True, use_safetensors=True, torch_dtype=dtype
    )


def tower_of_base(base: str | Path, *, name: str = "image_encoder", local_files_only: bool = False) -> Path | None:
    """Folder of the tower that a base brings; None where it brings none, as Stable Diffusion itself does not.

    Args:
        base: A folder, a Hub repository, or a single file.
        name: Of the folder in it that a tower lies in.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    if os.path.isfile(base) or find_base(str(base)) is not None:
        return None
    folder = find_folder(base, patterns=(f"{name}/*",), local_files_only=local_files_only) / name
    return folder if folder.is_dir() else None
