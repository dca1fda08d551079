"""Loading pipelines that stand upon a base, and exchanging what was trained upon it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import DiffusionPipeline
from torch import nn

from ldrestore.adapters.unet_connection import UNetConnection
from ldrestore.checkpoints.adapters_folder import check_base, read_adapters, read_pointer
from ldrestore.checkpoints.based_parts import upon_base
from ldrestore.checkpoints.diffusion_folder import check_saved_parts, load_transformers_parts, make_ready
from ldrestore.checkpoints.part_table import PartTable
from ldrestore.checkpoints.saved_folder import find_saved_pipeline
from ldrestore.pipelines.progress import loading_bar_in_terminals_only
from ldrestore.weights.folders import read_json

PipelineT = TypeVar("PipelineT", bound=DiffusionPipeline)
"""Of one track."""


def load_whole(
    load: Callable[..., PipelineT],
    source: str | Path,
    *,
    table: PartTable,
    dtype: torch.dtype | None,
    revision: str | None,
    local_files_only: bool,
) -> PipelineT:
    """A whole saved pipeline, all of whose parts were held against the table first.

    Args:
        load: `from_pretrained` of `DiffusionPipeline`, as the pipeline's class has it.
        source: A name of `list_models()`, a folder, or a Hub repository "owner/name".
        table: Its parts.
        dtype: Number format of the networks; None for float32.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: it is damaged, another pipeline, lacks a part, or weights are not exactly those of a part.
    """
    folder, name = find_saved_pipeline(source, revision=revision, local_files_only=local_files_only)
    check_saved_parts(folder, table=table, pipeline_name=table.pipeline)
    dtype = dtype or torch.float32
    loaded = load_transformers_parts(folder, table=table, dtype=dtype)
    base_name = read_json(folder / "unet" / "config.json").get("_name_or_path")
    with loading_bar_in_terminals_only():
        pipeline = load(folder, dtype=dtype, use_safetensors=True, **loaded)
    make_ready(pipeline.components, name=name)
    pipeline.register_to_config(_name_or_path=name)
    pipeline.components["unet"].register_to_config(_name_or_path=base_name or name)
    return pipeline


def name_after(pipeline: PipelineT, adapters: str | Path) -> PipelineT:
    """The pipeline itself, which goes by the name of its adapters: of a folder, the last part."""
    name = Path(adapters).resolve().name if Path(adapters).is_dir() else str(adapters)
    pipeline.register_to_config(_name_or_path=name)
    return pipeline


def replace_adapters(
    pipeline: DiffusionPipeline,
    adapters: str | Path,
    *,
    table: PartTable,
    connection: UNetConnection[Any],
    check: Callable[[Mapping[str, Any]], None],
    revision: str | None,
    local_files_only: bool,
) -> list[str]:
    """Take the trained parts and the scheduler from another checkpoint; the base stays, but for what that one changed.

    Args:
        pipeline: Its parts change.
        adapters: Folder or Hub repository of what `write_adapters` wrote.
        table: Which parts there may be.
        connection: Undone, so that the new parts are attached at the next picture.
        check: Refuses parts that do not make a pipeline.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache of the Hub is looked into.

    Returns:
        Networks of the base that it has changed.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: they are damaged, or another base's.
    """
    folder, pointer = read_pointer(adapters, revision=revision, local_files_only=local_files_only)
    check_base(pipeline.components, pointer, table=table)
    trained = read_adapters(folder, pointer, table=table, dtype=pipeline.components["unet"].dtype)
    check(upon_base(pipeline.components, trained))
    connection.disconnect()
    device = pipeline._execution_device
    for part in trained.values():
        if isinstance(part, nn.Module):
            part.to(device)
    pipeline.register_modules(**trained)
    return [name for name in table.tuned if name in trained]
