"""A diffusion model to train upon: from the Hub, from a folder of diffusers, or from a single file."""

import inspect
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler
from transformers import AutoTokenizer

from ldrestore.checkpoints.bases import find_base
from ldrestore.checkpoints.diffusion_folder import load_transformers_part, make_ready
from ldrestore.checkpoints.part_table import BaseLayout
from ldrestore.errors import ConfigError, WeightsError, WeightsUnavailableError
from ldrestore.registry import resolve
from ldrestore.weights.folders import find_folder, read_json

logger = logging.getLogger(__name__)

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
"""What a U-Net may predict, as diffusers' schedulers call it."""

WEIGHT_ENDINGS = (".safetensors", "-*.safetensors", ".safetensors.index.json")
"""Of the files of a part's weights."""


def load_base_parts(
    name_or_path: str | Path,
    *,
    layout: BaseLayout,
    dtype: torch.dtype = torch.float32,
    prediction_type: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> dict[str, Any]:
    """Parts of a base, by name: those of its layout, and the scheduler, a DDIM of the base's own schedule.

    Nothing is asked of the network where the base is a folder or a file.

    Args:
        name_or_path: A folder of diffusers, a Hub repository "owner/name" or the short name of `bases.BASES`; or a
            single file, safetensors or ckpt, as the base was published, which has no tokenizer.
        layout: The kind of base that it must be, such as `stable_diffusion.stable_diffusion_2()`.
        dtype: Number format of the weights.
        prediction_type: What the U-Net predicts; None for what the base's scheduler says. A single file needs it.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: it is damaged, of another kind, or its scheduler says another prediction type.
        ConfigError: no prediction type is known.
    """
    if prediction_type is not None and prediction_type not in PREDICTION_TYPES:
        raise ConfigError(f"prediction_type must be one of {', '.join(PREDICTION_TYPES)}, got {prediction_type!r}")
    if os.path.isfile(name_or_path):
        path = Path(name_or_path)
        scheduler = _trained_schedule(prediction_type, layout=layout, source=path.name)
        parts = {**layout.read_file(path), "scheduler": scheduler}
        for part in parts.values():
            if isinstance(part, torch.nn.Module):
                torch.nn.Module.to(part, dtype)  # diffusers' own `to` warns of parts kept in float32, of which are none
    else:
        folder = _find(str(name_or_path), layout=layout, revision=revision, local_files_only=local_files_only)
        parts = _of_folder(folder, prediction_type, layout=layout, dtype=dtype)
    name = Path(name_or_path).name if os.path.exists(name_or_path) else str(name_or_path)
    make_ready(parts, name=name)
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    return parts


def load_first_base(
    names: Sequence[str],
    *,
    layout: BaseLayout,
    dtype: torch.dtype = torch.float32,
    prediction_type: str | None = None,
    local_files_only: bool = False,
) -> tuple[dict[str, Any], str]:
    """The first of several bases that is within reach.

    Args:
        names: As `load_base_parts` takes them; the other arguments too.
        layout: The kind of base.
        dtype: Number format of the weights.
        prediction_type: What the U-Net predicts.
        local_files_only: Whether only the cache of the Hub is looked into.

    Returns:
        Its parts, and which of the names it has.

    Raises:
        WeightsUnavailableError: none is; the reason for the last is given.
        WeightsError: one is damaged, or of another kind.
    """
    load = partial(
        load_base_parts, layout=layout, dtype=dtype, prediction_type=prediction_type, local_files_only=local_files_only
    )
    for name in names[:-1]:
        try:
            return load(name), name
        except WeightsUnavailableError as error:
            logger.warning("%s; trying a mirror", error)
    return load(names[-1]), names[-1]


def load_base_tokenizers(
    name_or_path: str | Path, *, layout: BaseLayout, local_files_only: bool = False
) -> dict[str, Any]:
    """The tokenizers of a base by name, for another one in a single file, which has none.

    Args:
        name_or_path: A folder of diffusers, a Hub repository "owner/name", or the short name of `bases.BASES`.
        layout: The kind of base.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: it lacks one.
    """
    without_networks = replace(layout, networks={}, text_encoders={})
    folder = _find(str(name_or_path), layout=without_networks, revision=None, local_files_only=local_files_only)
    missing = [name for name in layout.tokenizers if not (folder / name).is_dir()]
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(missing)}; name a {layout.title} in the layout of diffusers")
    return {name: AutoTokenizer.from_pretrained(folder / name) for name in layout.tokenizers}


def base_files(layout: BaseLayout) -> tuple[str, ...]:
    """What is fetched of a Hub repository, as globs; other formats of the same weights lie beside these."""
    tokenizers = [f"{part}/*.{ending}" for part in layout.tokenizers for ending in ("json", "txt")]
    configs = [f"{part}/config.json" for part in (*layout.text_encoders, *layout.networks)]
    weights = [f"{part}/model{ending}" for part in layout.text_encoders for ending in WEIGHT_ENDINGS]
    weights += [f"{part}/diffusion_pytorch_model{ending}" for part in layout.networks for ending in WEIGHT_ENDINGS]
    return ("model_index.json", "scheduler/*.json", *tokenizers, *configs, *weights)


def _find(name: str, *, layout: BaseLayout, revision: str | None, local_files_only: bool) -> Path:
    """The folder of a base, from the first of its repositories that is within reach.

    Raises:
        WeightsUnavailableError: none is.
    """
    record = None if os.path.isdir(name) else find_base(name)
    names, patterns = [name] if record is None else [record.repository, *record.mirrors], base_files(layout)
    for index, one in enumerate(names):
        try:
            return find_folder(one, revision=revision, local_files_only=local_files_only, patterns=patterns)
        except WeightsUnavailableError:
            if index == len(names) - 1:
                raise
    raise AssertionError("a base has at least one name")


def _of_folder(folder: Path, prediction_type: str | None, *, layout: BaseLayout, dtype: torch.dtype) -> dict[str, Any]:
    """Parts of a folder of diffusers.

    Raises:
        WeightsUnavailableError: a part has no safetensors weights.
        WeightsError: a part is missing, damaged, or of another kind of base.
        ConfigError: there is no scheduler to say what the U-Net predicts.
    """
    needed = (*layout.networks, *layout.text_encoders)
    missing = [name for name in needed if not (folder / name / "config.json").is_file()]
    if missing:
        raise WeightsError(f"{folder} is no base: it lacks {', '.join(missing)}; name a {layout.title}")
    layout.check_unet(read_json(folder / "unet" / "config.json"))
    scheduler = _scheduler_of(folder, prediction_type, layout=layout)
    encoders = {
        name: load_transformers_part(folder / name, target, dtype=dtype)
        for name, target in layout.text_encoders.items()
    }
    networks = {
        name: _load_part(resolve(target), folder / name, dtype=dtype) for name, target in layout.networks.items()
    }
    tokenizers = {
        name: AutoTokenizer.from_pretrained(folder / name) if (folder / name).is_dir() else None
        for name in layout.tokenizers
    }
    return {**networks, **encoders, **tokenizers, "scheduler": scheduler}


def _load_part(part_class: type[Any], folder: Path, *, dtype: torch.dtype) -> Any:
    """A network of diffusers, whose weights must all be there: it would make up missing ones.

    Raises:
        WeightsUnavailableError: there are no safetensors weights.
        WeightsError: a file is damaged, or weights are missing or left over.
    """
    if not any(folder.glob("diffusion_pytorch_model*.safetensors")):
        raise WeightsUnavailableError(f"{folder} has no safetensors weights; fetch the base again")
    try:
        network, report = part_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, torch_dtype=dtype, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{folder} cannot be loaded ({reason}); fetch it again") from error
    problems = [*(f"missing {key}" for key in report["missing_keys"]), *(report["mismatched_keys"])]
    if problems:
        raise WeightsError(f"{folder} does not fit {part_class.__name__}: {problems[:4]}; fetch it again")
    return network


def _scheduler_of(folder: Path, prediction_type: str | None, *, layout: BaseLayout) -> DDIMScheduler:
    """DDIM on the base's own schedule.

    Raises:
        WeightsError: it says another prediction type than is asked for.
        ConfigError: there is no scheduler, and no prediction type is asked for.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        return _trained_schedule(prediction_type, layout=layout, source=str(folder))
    config = read_json(path)
    own = config.get("prediction_type", "epsilon")
    if prediction_type not in (None, own):
        raise WeightsError(
            f"the U-Net of {folder} predicts {own}, expected {prediction_type}: it is another base than the adapters'; "
            "name theirs"
        )
    known = {key: value for key, value in config.items() if key in inspect.signature(DDIMScheduler.__init__).parameters}
    return DDIMScheduler(**{**layout.schedule, **known, "prediction_type": own})


def _trained_schedule(prediction_type: str | None, *, layout: BaseLayout, source: str) -> DDIMScheduler:
    """DDIM on the schedule that such bases are trained with, for one without a scheduler.

    Raises:
        ConfigError: what the U-Net predicts is not known: the weights do not tell.
    """
    if prediction_type is None:
        raise ConfigError(
            f"{source} has no scheduler, so that nothing says what its U-Net predicts; give prediction_type: "
            f"{layout.prediction_advice}"
        )
    return DDIMScheduler(**layout.schedule, prediction_type=prediction_type)
