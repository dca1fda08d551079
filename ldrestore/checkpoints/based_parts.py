"""All parts of a pipeline from a base and what was trained upon it: exports of runs, or adapters alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ldrestore.checkpoints.adapters_folder import (
    check_base,
    names_of_base,
    read_adapters,
    read_pointer,
    read_tokenizers,
)
from ldrestore.checkpoints.base_model import load_base_parts, load_first_base
from ldrestore.checkpoints.part_table import BaseLayout, PartTable
from ldrestore.checkpoints.run_exports import load_exports


def load_exported_parts(
    base: str | Path,
    exports: Sequence[str | Path],
    *,
    table: PartTable,
    layout: BaseLayout,
    prediction_type: str | None,
    dtype: torch.dtype,
    local_files_only: bool,
) -> tuple[dict[str, Any], list[str]]:
    """All parts but towers by name, from a base and what runs exported; the later export of a part counts.

    Args:
        base: A folder of diffusers, a Hub repository, or a single file.
        exports: Folders of runs.
        table: The parts that there may be.
        layout: The kind of base.
        prediction_type: What the U-Net predicts; None for what the base says.
        dtype: Number format of the weights.
        local_files_only: Whether only the cache of the Hub is looked into.

    Returns:
        The parts, and which networks of the base training has changed.

    Raises:
        WeightsError: something is missing or damaged.
        ConfigError: nothing says what the U-Net predicts.
    """
    parts = load_base_parts(
        base, layout=layout, dtype=dtype, prediction_type=prediction_type, local_files_only=local_files_only
    )
    trained = load_exports(exports, table=table, dtype=dtype)
    return upon_base(parts, trained), [name for name in table.tuned if name in trained]


def load_adapted_parts(
    base: str | Path | None,
    adapters: str | Path,
    *,
    table: PartTable,
    layout: BaseLayout,
    dtype: torch.dtype,
    revision: str | None,
    local_files_only: bool,
    load_towers: Callable[[str, Mapping[str, Any]], dict[str, Any]] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """All parts by name, from a base and adapters.

    Args:
        base: Where it is; None for where the adapters say.
        adapters: Folder or Hub repository.
        table: The parts that there may be.
        layout: The kind of base.
        dtype: Number format of the weights.
        revision: Branch, tag or commit of the adapters' repository.
        local_files_only: Whether only the cache of the Hub is looked into.
        load_towers: Of where the base was found and what the adapters say of themselves: the towers beside it.

    Returns:
        The parts, and which networks of the base training has changed.

    Raises:
        WeightsError: something is missing or damaged, or the adapters are another base's.
    """
    folder, pointer = read_pointer(adapters, revision=revision, local_files_only=local_files_only)
    parts, found = load_first_base(
        [str(base)] if base is not None else names_of_base(pointer),
        layout=layout,
        dtype=dtype,
        prediction_type=pointer["base"]["prediction_type"],
        local_files_only=local_files_only,
    )
    if load_towers is not None:
        parts |= load_towers(found, pointer)
    check_base(parts, pointer, table=table)
    parts |= read_tokenizers(folder, [name for name in layout.tokenizers if parts[name] is None])
    trained = read_adapters(folder, pointer, table=table, dtype=dtype)
    return upon_base(parts, trained), [name for name in table.tuned if name in trained]


def upon_base(base: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
    """All parts by name; what training changed of the base is said to come from where the base does.

    Args:
        base: Its parts.
        trained: What was trained upon it.
    """
    for name in ("unet", "vae"):
        if trained.get(name) is not None:
            trained[name].register_to_config(_name_or_path=base[name].config.get("_name_or_path"))
    return {**base, **trained}
