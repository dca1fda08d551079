"""`ldrestore restore`: restore a picture, or all pictures of a folder."""

import json
import math
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ldrestore.cli.batch import Work, make_parent, planned, report, run_plan
from ldrestore.cli.jobs import Job, plan_jobs
from ldrestore.cli.options import (
    BaseOption,
    DryRunOption,
    FormatOption,
    InArgument,
    JsonOption,
    OutArgument,
    OverwriteOption,
    QualityOption,
    QuietOption,
    RecursiveOption,
)
from ldrestore.cli.sampling_options import NOT_SAID, SamplingOptions, check_sampling, check_taken, takes_sampling
from ldrestore.errors import InputError, OutputExistsError

RESTORE_EXAMPLES = """\b
Examples:
  ldrestore restore photo.jpg better.jpg
  ldrestore restore holiday/ restored/ --recursive
  ldrestore restore scan.tif clean.tif --fidelity 0.3
  ldrestore restore small.png big.png --scale 2
  ldrestore restore huge.png out.png --memory 2
  ldrestore restore photo.jpg better.jpg --protect face_mask.png
  ldrestore restore photo.jpg better.jpg --model instructir --instruction "remove the rain"
  ldrestore restore photo.jpg better.jpg --model ldrestore-tiny-stable --steps 20 --seed 1
  ldrestore restore photo.jpg better.jpg --model ldrestore-tiny-stable --degradation "rain=0.7,gaussian_noise=0.3"
  ldrestore restore raw/ out/ --format png --json > report.json
"""
"""Shown below the help; the first character keeps the lines as they are."""


class NumberFormat(StrEnum):
    """Number formats a network can run in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Engine(StrEnum):
    """What computes."""

    LOCAL = "local"
    ONNX = "onnx"


ModelOption = Annotated[
    str,
    typer.Option(
        metavar="MODEL", help="A name that `ldrestore models` lists, the folder of a model, or an exported .onnx file."
    ),
]

InstructionOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="What to do with all pictures, in English, such as 'remove the noise'; for models that take instructions, "
        "see `ldrestore info MODEL`. Without it a neutral one.",
    ),
]

EmbeddingsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="CACHE",
        help="What a guide said of the pictures, written by `ldrestore guide`; for models that take embeddings.",
    ),
]

ScaleOption = Annotated[
    int, typer.Option(min=1, max=8, metavar="N", help="Enlarge N times along each side first, then restore.")
]

FidelityOption = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, metavar="F", help="Blend the input back in: 0 is the model's result, 1 the input itself."
    ),
]

ProtectOption = Annotated[
    str | None,
    typer.Option(
        metavar="MASK",
        help="A grey picture of the input's size: white stays as it is, black is restored, grey is in between.",
    ),
]

TileOption = Annotated[
    str,
    typer.Option(
        metavar="auto|N|off",
        help="Tile side in pixels: `auto` plans it from --memory, N (a multiple of 64) fixes it, "
        "`off` takes the picture whole.",
    ),
]

MemoryOption = Annotated[
    float | None,
    typer.Option(
        metavar="GB", help="Working memory that `--tile auto` plans for, in gigabytes (10^9 bytes); 4 if not given."
    ),
]

SelfEnsembleOption = Annotated[
    bool,
    typer.Option("--self-ensemble", help="Average over the 8 flips and turns: slightly better, 8 times slower."),
]

DeviceOption = Annotated[
    str,
    typer.Option(metavar="DEVICE", help="`auto` takes a GPU where there is one; or `cpu`, `cuda`, `cuda:1`, `mps`."),
]

DtypeOption = Annotated[NumberFormat, typer.Option(help="Number format of the network; the 16-bit ones are for GPUs.")]

EngineOption = Annotated[
    Engine,
    typer.Option(
        help="`local` computes with torch, `onnx` with onnxruntime on the CPU, exporting a model at its first use."
    ),
]

RecordOption = Annotated[
    bool,
    typer.Option(
        "--record/--no-record", help="Write how each result was made to a file OUT.json beside it; no time stamps."
    ),
]


@takes_sampling
def restore_command(  # each parameter is an option
    source: InArgument,
    target: OutArgument,
    model: ModelOption = "default",
    base: BaseOption = None,
    instruction: InstructionOption = None,
    embeddings: EmbeddingsOption = None,
    sampling: SamplingOptions = NOT_SAID,
    scale: ScaleOption = 1,
    fidelity: FidelityOption = 0.0,
    protect: ProtectOption = None,
    tile: TileOption = "auto",
    memory: MemoryOption = None,
    self_ensemble: SelfEnsembleOption = False,
    device: DeviceOption = "auto",
    dtype: DtypeOption = NumberFormat.FLOAT32,
    engine: EngineOption = Engine.LOCAL,
    picture_format: FormatOption = None,
    quality: QualityOption = 95,
    record: RecordOption = True,
    recursive: RecursiveOption = False,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Restore a picture, or all pictures of a folder.

    IN and OUT are two files, a file and a folder, or two folders. Of a folder, names and formats are mirrored (HEIF
    becomes PNG), what already lies in OUT is skipped, other files are ignored, and a broken picture is named with its
    reason while the others are done. Orientation, colour profile, metadata, transparency and 16 bits are kept.
    """
    options: dict[str, Any] = {
        "scale": scale,
        "fidelity": fidelity,
        "protect": _checked_mask(protect),
        "tile": _parse_tile(tile),
        "self_ensemble": self_ensemble,
    }
    if memory is not None:
        options["memory_gb"] = _checked_memory(memory)
    if instruction is not None:
        options["instruction"] = instruction
    options |= sampling.given()
    plan = plan_jobs(source, target, picture_format=picture_format, is_recursive=recursive, may_overwrite=overwrite)
    if dry_run or not plan.jobs:
        outcomes = planned(plan)
    else:
        shows_progress = len(plan.jobs) == 1 and not quiet
        restorer = _load(model, base=base, device=device, dtype=dtype, engine=engine, shows_progress=shows_progress)
        check_taken(restorer, [*options, *(["embedding"] if embeddings is not None else [])])
        check_sampling(restorer, options)
        if instruction is not None:  # one that is not understood is a wrong call, not a failure of each picture
            restorer.understand(instruction)
        if embeddings is not None:
            options["embedding"] = embedding_of(restorer, embeddings)
        work = _restoring(restorer, options, quality=quality, may_overwrite=overwrite, has_record=record)
        outcomes = run_plan(plan, work, label="restoring", is_quiet=quiet or len(plan.jobs) == 1)
    raise typer.Exit(report(outcomes, plan, command="restore", as_json=as_json, is_quiet=quiet))


def _checked_mask(protect: str | None) -> Path | None:
    """The file of the mask.

    Raises:
        InputError: there is none.
    """
    if protect is None:
        return None
    path = Path(protect)
    if not path.is_file():
        raise InputError(f"no mask at {protect}; --protect takes one picture of the input's size")
    return path


def _checked_memory(memory: float) -> float:
    """The memory budget in gigabytes.

    Raises:
        InputError: it is not positive.
    """
    if not 0 < memory < math.inf:
        raise InputError(f"--memory takes a positive number of gigabytes such as 2, got {memory:g}")
    return memory


def _parse_tile(text: str) -> int | str:
    """Read "auto", "off", or a number of pixels.

    Raises:
        InputError: anything else.
    """
    if text in ("auto", "off"):
        return text
    if not text.isdecimal() or int(text) == 0 or int(text) % 64:
        raise InputError(f"--tile takes auto, off, or a multiple of 64 pixels such as 512, got {text!r}")
    return int(text)


def _load(
    model: str, *, base: str | None, device: str, dtype: NumberFormat, engine: Engine, shows_progress: bool
) -> Any:
    """The pipeline that restores, its own progress bar over tiles shown or not."""
    import torch
    from diffusers.utils import logging

    from ldrestore.restorers import load_restorer

    logging.disable_progress_bar()  # of the loading, which takes less time than reading about it

    restorer = load_restorer(model, base=base, device=device, dtype=getattr(torch, dtype.value), engine=engine.value)
    restorer.set_progress_bar_config(disable=not (shows_progress and sys.stderr.isatty()))
    return restorer


def embedding_of(restorer: Any, path: Path) -> Callable[[Any], Any]:
    """What the cache holds of a photo.

    Raises:
        InputError: the model takes no embeddings, or those of another guide.
        EmbeddingCacheError: there is no cache, or it is damaged.
    """
    from ldrestore.guides.embedding_cache import load_embedding_cache, picture_key
    from ldrestore.regressors.factory import embedding_shape_of

    shape = embedding_shape_of(restorer.regressor)
    if shape is None:
        raise InputError("--embeddings: this model takes none; leave the option out, or see `ldrestore info MODEL`")
    cache = load_embedding_cache(path, expected_shape=shape)
    return lambda photo: cache.get(picture_key(photo))


def _restoring(restorer: Any, options: dict[str, Any], *, quality: int, may_overwrite: bool, has_record: bool) -> Work:
    """The work on one picture: read, restore, write, and write the record beside it."""
    from ldrestore.images.files import read_photo, write_photo
    from ldrestore.records import write_record

    def restore_job(job: Job) -> dict[str, object]:
        photo = read_photo(job.source)
        make_parent(job.target)
        record_path = job.target.with_name(f"{job.target.name}.json")
        if has_record and not may_overwrite:
            _check_record_place(record_path)
        output = restorer(photo, output_type="photo", **options)
        write_photo(output.photos[0], job.target, quality=quality, overwrite=may_overwrite)
        record = output.records[0]
        if has_record:
            write_record(record, record_path)
        return record

    return restore_job


def _check_record_place(path: Path) -> None:
    """Refuse to replace a file that is not a record of ours; some cameras' albums keep JSON files of that name.

    Raises:
        OutputExistsError: there is such a file.
    """
    if not path.exists():
        return
    try:
        is_record = "ldrestore" in json.loads(path.read_bytes())
    except (OSError, ValueError, TypeError):
        is_record = False
    if not is_record:
        raise OutputExistsError(
            path, "lies where the record belongs, and is none", "move it, or use --no-record or --overwrite"
        )
