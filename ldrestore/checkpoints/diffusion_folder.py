"""Saved pipelines upon a diffusion model: what is checked before anything is loaded, and loading without gaps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin
from safetensors import SafetensorError
from transformers import PreTrainedModel

from ldrestore.checkpoints.part_table import PartTable
from ldrestore.checkpoints.saved_folder import NO_PART, check_class, check_part, read_index
from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.guides.loading_quietly import without_load_report, without_progress_bar
from ldrestore.registry import resolve
from ldrestore.weights.fitting import align_weights
from ldrestore.weights.folders import read_json

TOKENIZERS = frozenset(
    f"transformers:{name}"
    for name in ("CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")
)
"""Classes of tokenizers that are loaded; the last is what transformers 5 calls the third."""


def check_saved_parts(folder: Path, *, table: PartTable, pipeline_name: str) -> dict[str, Any]:
    """Hold all parts of a saved pipeline against their classes, as `saved_folder.check_saved_networks` does.

    Args:
        folder: Has a model_index.json.
        table: The parts that it must have.
        pipeline_name: The class that it must be of.

    Returns:
        The index.

    Raises:
        WeightsUnavailableError: a part has no safetensors weights.
        WeightsError: another pipeline, a missing part, an unknown class, or a config or weights that are not its own.
    """
    index = read_index(folder, pipeline_name=pipeline_name)
    missing = [name for name in table.needed if index.get(name) in NO_PART or not (folder / name).is_dir()]
    missing += [name for name in table.optional if index.get(name) not in NO_PART and not (folder / name).is_dir()]
    if missing:
        raise WeightsError(f"{folder} lacks its {', '.join(missing)}; fetch the model again")
    table.base.check_unet(read_json(folder / "unet" / "config.json"))
    for name, target in {**table.trained, **table.base.networks}.items():
        if index.get(name) not in NO_PART:
            check_part(folder, index, name, targets={target})
    for name, target in {**table.base.text_encoders, **table.towers}.items():
        check_class(folder, index, name, targets={target})
    for name in table.base.tokenizers:
        if index.get(name) not in NO_PART:
            check_class(folder, index, name, targets=TOKENIZERS)
    check_scheduler_entry(folder, index["scheduler"])
    return index


def check_scheduler_entry(folder: Path, entry: Any) -> str:
    """The class of a saved scheduler, which is one of diffusers'.

    Args:
        folder: For the message.
        entry: Module and class.

    Raises:
        WeightsError: another module, or a class that diffusers has not.
    """
    import diffusers

    module, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
    is_known = module == "diffusers" and str(name).endswith("Scheduler") and hasattr(diffusers, str(name))
    if not is_known:
        raise WeightsError(f"{folder} needs the scheduler {entry}, unknown to this version; upgrade diffusers")
    return str(name)


def load_transformers_part(folder: Path, target: str, *, dtype: torch.dtype) -> Any:
    """A model of transformers, whose weights must all be there: it would make up missing ones.

    Args:
        folder: Of the part.
        target: Its class as "module:class".
        dtype: Number format of its weights.

    Raises:
        WeightsUnavailableError: there are no safetensors weights.
        WeightsError: a file is damaged, or weights are missing.
    """
    if not any(folder.glob("model*.safetensors")):
        raise WeightsUnavailableError(f"{folder} has no safetensors weights; fetch the model again")
    try:
        with without_progress_bar(), without_load_report():
            model, report = resolve(target).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{folder} cannot be loaded ({reason}); fetch it again") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise WeightsError(f"{folder} has no weights for {', '.join(missing[:4])}; fetch it again")
    return model


def load_transformers_parts(folder: Path, *, table: PartTable, dtype: torch.dtype) -> dict[str, Any]:
    """Text encoders and towers of a saved pipeline.

    Args:
        folder: Of the pipeline.
        table: Its parts.
        dtype: Number format of their weights.

    Raises:
        WeightsError: as `load_transformers_part`.
    """
    targets = {**table.base.text_encoders, **table.towers}
    return {name: load_transformers_part(folder / name, target, dtype=dtype) for name, target in targets.items()}


def make_ready(parts: Mapping[str, Any], *, name: str) -> None:
    """Set parts with weights to evaluation, aligned, and without a trace of the disk they came from.

    Args:
        parts: By name.
        name: What they are said to come from.
    """
    for part in parts.values():
        if not isinstance(part, torch.nn.Module):
            continue
        align_weights(part.eval())
        if isinstance(part, ConfigMixin):
            part.register_to_config(_name_or_path=name)
        elif isinstance(part, PreTrainedModel):
            part.config.name_or_path = part.name_or_path = name
