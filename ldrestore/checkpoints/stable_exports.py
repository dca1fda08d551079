"""What training runs of the stable track exported, put upon the base that they were trained upon."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ldrestore.checkpoints.bases import find_base
from ldrestore.checkpoints.saved_folder import check_part
from ldrestore.checkpoints.stable_folder import make_ready
from ldrestore.checkpoints.stable_parts import OUR_PARTS
from ldrestore.errors import WeightsUnavailableError
from ldrestore.registry import resolve
from ldrestore.weights.folders import find_folder

IMAGE_ENCODER = "image_encoder"
"""Folder of CLIP's tower within a base that brings its own."""


def load_exports(folders: Sequence[str | Path], *, dtype: torch.dtype) -> dict[str, Any]:
    """Our parts from the exports of several runs; None for those that none of them has.

    Args:
        folders: Each holds parts in folders of their own names, as runs export and pipelines save them. Where two hold
            the same part, the later one counts.
        dtype: Number format of the weights.

    Raises:
        WeightsUnavailableError: a folder holds no part, or one without safetensors weights.
        WeightsError: a part is damaged.
    """
    places: dict[str, Path] = {}
    for folder in map(Path, folders):
        found = [name for name in OUR_PARTS if (folder / name / "config.json").is_file()]
        if not found:
            raise WeightsUnavailableError(f"{folder} holds none of {', '.join(OUR_PARTS)}; give the export of a run")
        places |= dict.fromkeys(found, folder)
    parts: dict[str, Any] = dict.fromkeys(OUR_PARTS)
    for name, folder in places.items():
        parts[name] = load_part(folder, name, dtype=dtype)
    make_ready(parts, name="exports")
    return parts


def load_part(folder: Path, name: str, *, dtype: torch.dtype) -> Any:
    """One of our parts, checked against its class.

    Args:
        folder: Has the part in a folder of its name.
        name: One of `OUR_PARTS`.
        dtype: Number format of the weights.

    Raises:
        WeightsUnavailableError: there are no safetensors weights.
        WeightsError: config or weights are not the part's.
    """
    target = OUR_PARTS[name]
    check_part(folder, {name: target.split(":")}, name, targets={target})
    return resolve(target).from_pretrained(
        folder / name, local_files_only=True, use_safetensors=True, torch_dtype=dtype
    )


def tower_of_base(base: str | Path, *, local_files_only: bool = False) -> Path | None:
    """Folder of the tower that a base brings; None where it brings none, as Stable Diffusion itself does not.

    Args:
        base: A folder, a Hub repository, or a single file.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    if Path(base).is_file() or find_base(str(base)) is not None:
        return None
    folder = find_folder(base, patterns=(f"{IMAGE_ENCODER}/*",), local_files_only=local_files_only) / IMAGE_ENCODER
    return folder if folder.is_dir() else None
