"""Which of CLIP's towers stands beside the base of MPerceiver."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ldrestore.checkpoints.run_exports import tower_of_base
from ldrestore.guides.clip_tower import DEFAULT_TOWER, ClipTower

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

UNNAMED = ""
"""Name of a tower that needs none: a base's own, or the default where the base has none."""


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
