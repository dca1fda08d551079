"""MPerceiver's parts from a base and what was trained upon it, and which of CLIP's towers stands beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ldrestore.checkpoints.adapters_folder import check_base, names_of_base, read_adapters, read_pointer
from ldrestore.checkpoints.base_model import load_base_parts, load_first_base
from ldrestore.checkpoints.run_exports import load_exports, tower_of_base
from ldrestore.checkpoints.stable_diffusion import BaseSizes, stable_diffusion_2
from ldrestore.guides.clip_tower import DEFAULT_TOWER, ClipTower
from ldrestore.systems.mperceiver_parts import MPERCEIVER_PARTS

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

UNNAMED = ""
"""Name of a tower that needs none: a base's own, or the default where the base has none."""


def load_exported_parts(
    base: str | Path,
    exports: Sequence[str | Path],
    *,
    image_encoder: str | Path | None,
    prediction_type: str | None,
    sizes: BaseSizes | None,
    dtype: torch.dtype,
    local_files_only: bool,
) -> dict[str, Any]:
    """All parts of a pipeline by name, from a base and what runs exported; see `StableRestorePipeline.from_exports`.

    Raises:
        WeightsError: something is missing or damaged.
        ConfigError: nothing says what the U-Net predicts.
    """
    parts = load_base_parts(
        base,
        layout=stable_diffusion_2(sizes),
        dtype=dtype,
        prediction_type=prediction_type,
        local_files_only=local_files_only,
    )
    parts["image_encoder"] = load_tower(base, image_encoder, dtype=dtype, local_files_only=local_files_only)
    return {**parts, **load_exports(exports, table=MPERCEIVER_PARTS, dtype=dtype)}


def load_adapted_parts(
    base: str | Path | None,
    adapters: str | Path,
    *,
    image_encoder: str | Path | None,
    sizes: BaseSizes | None,
    dtype: torch.dtype,
    revision: str | None,
    local_files_only: bool,
) -> dict[str, Any]:
    """All parts of a pipeline by name, from a base and adapters; see `StableRestorePipeline.from_base`.

    Raises:
        WeightsError: something is missing or damaged, or the adapters are another base's.
    """
    folder, pointer = read_pointer(adapters, revision=revision, local_files_only=local_files_only)
    parts, found = load_first_base(
        [str(base)] if base is not None else names_of_base(pointer),
        layout=stable_diffusion_2(sizes),
        dtype=dtype,
        prediction_type=pointer["base"]["prediction_type"],
        local_files_only=local_files_only,
    )
    parts["image_encoder"] = load_tower(
        found,
        image_encoder,
        named=pointer["base"]["image_encoder"] or UNNAMED,
        dtype=dtype,
        local_files_only=local_files_only,
    )
    check_base(parts, pointer, table=MPERCEIVER_PARTS)
    return {**parts, **read_adapters(folder, pointer, table=MPERCEIVER_PARTS, dtype=dtype)}


def load_tower(
    base: str | Path,
    image_encoder: str | Path | None,
    *,
    named: str | None = None,
    dtype: torch.dtype,
    local_files_only: bool = False,
) -> "CLIPVisionModelWithProjection":
    """The tower that is asked for; else a base's own, the one that adapters name, or the default.

    The own tower of a base on this disk comes before the one that is named, that of a repository after it.

    Args:
        base: Where the base was loaded from.
        image_encoder: Folder or Hub repository of a tower; None leaves the choice.
        named: What adapters say of theirs, whose weights are checked later: its name, or `UNNAMED`. None without them.
        dtype: Number format of its weights.
        local_files_only: Whether only the cache of the Hub is looked into.

    Returns:
        The tower; its name says where others find it, as far as that is known.

    Raises:
        WeightsUnavailableError: it is not there, or cannot be fetched.
        WeightsError: it is damaged, or no CLIP.
    """
    tower = image_encoder
    if tower is None and (not named or Path(base).exists()):
        tower = tower_of_base(base, local_files_only=local_files_only)
    tower = tower or named or DEFAULT_TOWER
    model = ClipTower.from_pretrained(tower, local_files_only=local_files_only, dtype=dtype).model
    if Path(tower).is_dir() and (named is not None or image_encoder is None):
        name_tower(model, named or UNNAMED)
    return model


def name_tower(model: "CLIPVisionModelWithProjection", name: str) -> None:
    """Write down where a tower comes from; it is not saved with its weights.

    Args:
        model: The tower.
        name: A Hub repository, the name of a folder, or `UNNAMED`.
    """
    model.config.name_or_path = model.name_or_path = name
