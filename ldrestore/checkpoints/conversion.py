"""Published checkpoints to folders that `from_pretrained` loads: pipelines, instruction heads, CLIP towers."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import ModelMixin
from torch import Tensor

from ldrestore.checkpoints.faithdiff_conversion import FaithDiffSizes, faithdiff_parts
from ldrestore.checkpoints.foreign_conversion import convert_foreign
from ldrestore.checkpoints.published_catalog import CLIP_TOWER, FAITHDIFF, FOREIGN, INSTRUCTION_HEAD, OTHER_LAYOUTS
from ldrestore.checkpoints.whole_folder import whole_folder, write_json
from ldrestore.errors import ConfigError, InputError, UnknownNameError, WeightsError
from ldrestore.guides.clip_layout import tower_config, tower_weights
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.registry import RegressorRecord, resolve
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.instruction_head import InstructionHead, check_pair
from ldrestore.regressors.instruction_head import options_of_checkpoint as options_of_head
from ldrestore.weights.file_names import ORIGIN_FILE
from ldrestore.weights.fitting import check_fit, load_strictly
from ldrestore.weights.hashes import hash_of_file, hash_of_weights
from ldrestore.weights.published_files import check_recorded_hash, read_checkpoint

FAITHDIFF_SOURCE, FAITHDIFF_LICENCE = "https://github.com/JyChen9811/FaithDiff", "MIT"
CLIP_SOURCE = "https://github.com/mlfoundations/open_clip"
CLIP_LICENCE = "MIT for LAION's weights; of others, see their source"


def convert(name: str, checkpoint_path: str | Path, out_dir: str | Path, *, head: str | Path | None = None) -> Path:
    """Convert a published checkpoint; the folder is there whole, or not at all.

    The layout (width, blocks a level) is read off the checkpoint's shapes. A name that stands for one published layout,
    such as "nafnet_sidd_w32", refuses another one; the architecture's own name, such as "nafnet", takes any. Where
    `NAME.sha256` lies beside the file NAME, as `sha256sum` writes it, its hash is checked.

    Args:
        name: Registry name of the regressor; "instructir_head" for the text head that InstructIR is published with; or
            "clip_tower" for the vision transformer of an OpenCLIP with plain GELU, such as LAION's ViT-H/14 (OpenAI's
            own weights, of quick GELU, are published in the layout of transformers and need no conversion); or
            "faithdiff" for FaithDiff upon SDXL, of which U-Net, LQ encoder and residual alignment are made; or
            "spandrel" for any network that the package of that name recognises.
        checkpoint_path: The published file, pickle or safetensors.
        out_dir: Folder to write; must not exist, or be empty.
        head: The file of the instruction head that is published beside the checkpoint, so that the model follows
            instructions; a head of ours would mean nothing to it. None for a model without one.

    Returns:
        The folder.

    Raises:
        UnknownNameError: no such regressor.
        InputError: the folder is not empty, or a head for a network that takes no instructions.
        WeightsUnavailableError: no such file.
        WeightsError: a file is damaged, or holds another network, or weights that are not finite; or the head's
            embeddings are not as wide as the network's.
        ExportError: the folder cannot be written.
    """
    checkpoint, out_dir = Path(checkpoint_path), Path(out_dir)
    converters = {
        INSTRUCTION_HEAD: _convert_instruction_head,
        CLIP_TOWER: _convert_clip_tower,
        FAITHDIFF: convert_faithdiff,
        FOREIGN: convert_foreign,
    }
    if name not in REGRESSORS and name not in converters:
        raise UnknownNameError("architecture", name, [*REGRESSORS.names(), *OTHER_LAYOUTS])
    if head is not None and (name in converters or not REGRESSORS.get(name).takes_embedding):
        raise InputError(f"{name} takes no instruction head; leave the head out")
    if name in converters:
        return converters[name](checkpoint, out_dir)
    record = REGRESSORS.get(name)
    _check_new(out_dir)
    check_recorded_hash(checkpoint)
    weights = read_checkpoint(checkpoint)
    network = _network_of(record, weights, source=checkpoint.name)
    load_strictly(network, weights, source=checkpoint.name)
    instruction_head = None if head is None else _read_head(Path(head))
    if instruction_head is not None:
        check_pair(network, instruction_head)
    origin = _origin_of(checkpoint, name=name, source=record.source, licence=record.licence, head=head)
    with whole_folder(out_dir) as folder:
        _write_pipeline(folder, {"regressor": network.eval(), "instruction_head": instruction_head})
        write_json(folder / ORIGIN_FILE, {**origin, "weights_sha256": hash_of_weights(network)})
    return out_dir


def _convert_instruction_head(checkpoint: Path, out_dir: Path) -> Path:
    """Convert the published text head of InstructIR to a folder that `InstructionHead.from_pretrained` loads.

    Raises:
        InputError: the folder is not empty.
        WeightsUnavailableError: no such file.
        WeightsError: the file is damaged, or no such head.
    """
    record = REGRESSORS.get("instructir")
    _check_new(out_dir)
    head = _read_head(checkpoint)
    with whole_folder(out_dir) as folder:
        head.save_pretrained(folder)
        origin = _origin_of(checkpoint, name=INSTRUCTION_HEAD, source=record.source, licence=record.licence)
        write_json(folder / ORIGIN_FILE, origin)
    return out_dir


def _convert_clip_tower(checkpoint: Path, out_dir: Path) -> Path:
    """Convert the vision tower of OpenCLIP's checkpoint to a folder that `ClipTower.from_pretrained` loads.

    Raises:
        InputError: the folder is not empty.
        WeightsUnavailableError: no such file.
        WeightsError: the file is damaged, or holds no such tower.
    """
    from transformers import CLIPVisionModelWithProjection  # slow to import, and needed here alone

    _check_new(out_dir)
    check_recorded_hash(checkpoint)
    weights = read_checkpoint(checkpoint)
    model = CLIPVisionModelWithProjection(tower_config(weights, source=checkpoint.name))
    load_strictly(model, tower_weights(weights, source=checkpoint.name), source=checkpoint.name)
    with whole_folder(out_dir) as folder, without_progress_bar():
        model.eval().save_pretrained(folder)
        origin = _origin_of(checkpoint, name=CLIP_TOWER, source=CLIP_SOURCE, licence=CLIP_LICENCE)
        write_json(folder / ORIGIN_FILE, origin)
    return out_dir


def convert_faithdiff(checkpoint: Path, out_dir: Path, *, sizes: FaithDiffSizes | None = None) -> Path:
    """Convert FaithDiff's published file to a folder with one for each of its parts, in the file's number format.

    Args:
        checkpoint: The published file.
        out_dir: Folder to write; must not exist, or be empty.
        sizes: What the file does not tell; None for the published ones.

    Returns:
        The folder.

    Raises:
        InputError: the folder is not empty.
        WeightsUnavailableError: no such file.
        WeightsError: the file is damaged, or no FaithDiff.
    """
    _check_new(out_dir)
    check_recorded_hash(checkpoint)
    parts = faithdiff_parts(read_checkpoint(checkpoint), sizes=sizes, source=checkpoint.name)
    with whole_folder(out_dir) as folder:
        for name, part in parts.items():
            part.save_pretrained(folder / name)
        origin = _origin_of(checkpoint, name=FAITHDIFF, source=FAITHDIFF_SOURCE, licence=FAITHDIFF_LICENCE)
        write_json(folder / ORIGIN_FILE, origin)
    return out_dir


def _read_head(path: Path) -> InstructionHead:
    """A published head.

    Raises:
        WeightsUnavailableError: no such file.
        WeightsError: it is damaged, or no such head.
    """
    check_recorded_hash(path)
    weights = read_checkpoint(path)
    shapes = {key: weights[key].ndim for key in ("fc1.weight", "fc2.weight") if key in weights}
    if shapes != {"fc1.weight": 2, "fc2.weight": 2}:
        raise WeightsError(
            f"{path.name} is no text head of InstructIR: expected matrices fc1.weight and fc2.weight; its first keys "
            f"are {', '.join(list(weights)[:3])}"
        )
    head = InstructionHead(**options_of_head(weights))
    load_strictly(head, weights, source=path.name)
    return head.eval()


def _check_new(out_dir: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        InputError: it does, or it is a file.
    """
    if os.path.exists(out_dir) and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise InputError(f"{out_dir} exists and is not an empty folder; name a new one")


def _write_pipeline(folder: Path, parts: Mapping[str, Any]) -> None:
    """Write the parts of a `FastRestorePipeline` as it saves them itself, which is written in a layer above this one.

    Args:
        folder: To write; not there yet.
        parts: By name; None for one that there is not.
    """
    index: dict[str, Any] = {"_class_name": "FastRestorePipeline", "_diffusers_version": diffusers.__version__}
    folder.mkdir()
    for name, part in parts.items():
        index[name] = [None, None] if part is None else [type(part).__module__, type(part).__name__]
        if part is not None:
            part.save_pretrained(folder / name)
    write_json(folder / "model_index.json", dict(sorted(index.items())))


def _origin_of(
    checkpoint: Path, *, name: str, source: str, licence: str, head: str | Path | None = None
) -> dict[str, str]:
    """Where the weights of a converted folder come from."""
    origin = {
        "architecture": name,
        "source": source,
        "source_file": checkpoint.name,
        "source_sha256": hash_of_file(checkpoint),
        "weights_licence": licence,
    }
    if head is not None:
        origin |= {"head_file": Path(head).name, "head_sha256": hash_of_file(head)}
    return origin


def _network_of(record: RegressorRecord, weights: Mapping[str, Tensor], *, source: str) -> ModelMixin:
    """The network of a checkpoint's layout, with random weights.

    It is held against the checkpoint before any memory is taken for it: a damaged shape may call for any size.

    Raises:
        WeightsError: the checkpoint is of another architecture or layout, or incomplete.
    """
    options = _layout_of(record, weights, source=source)
    try:
        with torch.device("meta"):
            outline = create_regressor(record.name, **options)
    except ConfigError as error:
        raise WeightsError(f"{source} is no whole checkpoint of {record.name}: {error}") from error
    check_fit(outline, {key: tensor.shape for key, tensor in weights.items()}, source=source)
    return create_regressor(record.name, **options)


def _layout_of(record: RegressorRecord, weights: Mapping[str, Tensor], *, source: str) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's shapes call for.

    Raises:
        WeightsError: the checkpoint is of another architecture, or of another layout than the name stands for, or
            lacks what tells its layout.
    """
    missing = [key for key in record.signature_keys if key not in weights]
    if missing:
        raise WeightsError(
            f"{source} is no checkpoint of {record.name}: it has no {missing[0]}; its first keys are "
            f"{', '.join(list(weights)[:3])}"
        )
    module = record.target.partition(":")[0]
    try:
        options: dict[str, Any] = resolve(f"{module}:options_of_checkpoint")(weights)
    except (ArithmeticError, LookupError, StopIteration, TypeError, ValueError) as error:
        raise WeightsError(
            f"{source} is no whole checkpoint of {record.name}: keys or axes that tell its layout are missing "
            f"({error}); download it again"
        ) from error
    wrong = {key: value for key, value in record.options.items() if options.get(key, value) != value}
    if record.is_one_layout and wrong:
        same_class = (other for other in REGRESSORS if other.target == record.target)
        alike = [other.name for other in same_class if other.options.items() <= options.items()]
        hint = f"it is {' or '.join(alike)}" if alike else "convert it under the architecture's own name"
        found = ", ".join(f"{key} {options[key]}" for key in wrong)
        raise WeightsError(f"{source} has another layout than {record.name} ({found}); {hint}")
    return options
