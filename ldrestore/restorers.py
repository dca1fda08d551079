"""One call for all tracks: `restore`, `load_restorer`, `list_models`.

Importing this imports no torch; listing models does not either.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldrestore.assets.catalog import MODELS, embedded_folder
from ldrestore.errors import InputError, UnknownModelError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.options import make_options
from ldrestore.registry import ModelRecord, TrackRecord, resolve
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.tracks import (
    TRACKS,
    list_engines,
    options_class_of,
    pipeline_name,
    track_of_adapters,
    track_of_class,
    track_with_engine,
)
from ldrestore.weights.file_names import ADAPTERS_FILE, ORIGIN_FILE

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from ldrestore.images.inputs import ImageInput
    from ldrestore.pipelines.pipeline_output import RestoreOutput

LOAD_OPTIONS = ("base", "device", "dtype", "engine")
"""Options of `restore` that choose how a model is loaded; the others go to the pipeline's call."""
FOREIGN_SUFFIXES = frozenset({".safetensors", ".pth", ".pt", ".ckpt"})
"""Of single files of weights; the pickles among them are refused with what to do."""
MAX_LOADED = 2
"""Models that `restore` keeps in memory."""
SLOW_FLOAT16 = "most CPUs compute float16 many times slower than float32; leave dtype (--dtype) out, or use a GPU"
"""Warned of where float16 is asked for without a GPU."""


def list_models() -> list[ModelRecord]:
    """All models that have a name of their own."""
    return list(MODELS)


def restore(
    image: "ImageInput | Iterable[ImageInput]", model: str | Path = "default", **options: Any
) -> "RestoreOutput":
    """Restore one or many pictures.

    Args:
        image: A path, PIL, numpy, torch, a photo, or a list of them; see `ldrestore.images.inputs.to_photos`.
        model: A name of `list_models()`, the folder of a model, an exported .onnx file, or a repository "owner/name" of
            the Hub. The last two models used stay in memory.
        options: `base`, `device`, `dtype` and `engine` as for `load_restorer`; the others as for the pipeline's call,
            e.g. `FastRestorePipeline.__call__`: instruction, embedding, scale, fidelity, protect, keep_grain, tile,
            memory_gb, clip, self_ensemble, output_type.

    Raises:
        InputError: an option is unknown or wrong.
        ImageFileError: a file cannot be read.
        WeightsError: the model is missing or damaged.
        OutOfMemoryError: not even the smallest tiles fit.
    """
    loading = {name: options.pop(name) for name in LOAD_OPTIONS if name in options}
    base = loading.get("base")
    found = _locate(model, base, prefers_cache=True)
    call = make_options(options_class_of(found.track), options, owner=pipeline_name(found.track), more=LOAD_OPTIONS)
    engine = _engine_of(loading.get("engine", "local"), model)
    device, dtype = _place_of(loading.get("device", "auto"), loading.get("dtype"), engine=engine)
    stamp = (_stamp(found.location), () if base is None else _stamp(base))
    name, base_name = str(model), None if base is None else str(base)
    pipeline: Any = _loaded(name, base_name, str(device), dtype, engine, found.is_cached, stamp)
    output: RestoreOutput = pipeline.restore(image, call)
    return output


def load_restorer(
    name_or_path: str | Path,
    *,
    base: str | Path | None = None,
    device: "str | torch.device" = "auto",
    dtype: "str | torch.dtype | None" = None,
    engine: str = "local",
    local_files_only: bool = False,
) -> "DiffusionPipeline":
    """Load a model, ready to be called many times.

    Args:
        name_or_path: A name of `list_models()`, the folder of a model, an exported .onnx file, or a repository
            "owner/name" of the Hub.
        base: Of a folder or repository of adapters alone: where the base is that they were trained upon, a folder, a
            file or a repository. None for where they say it is.
        device: "auto" takes CUDA, else Apple's MPS, else the CPU; or a device such as "cuda:1".
        dtype: Number format to compute in: a torch dtype or its name; None for float32.
        engine: "local" computes with torch. "onnx" computes with onnxruntime, on the CPU in float32; a model's network
            is exported at its first use, and kept in the user's cache. An .onnx file is always computed so.
        local_files_only: Whether of a repository only the cache of the Hub is looked into.

    Returns:
        A pipeline of the model's track, e.g. `FastRestorePipeline`.

    Raises:
        InputError: no such device, number format or engine, or a base for a model that has its own.
        WeightsUnavailableError: no such model within reach.
        WeightsError: the model is damaged.
        MissingExtraError: the engine's packages are not installed.
        ExportError: the network cannot be exported.
    """
    engine = _engine_of(engine, name_or_path)
    found = _locate(name_or_path, base, prefers_cache=local_files_only, local_files_only=local_files_only)
    pipeline_class = resolve(found.track.pipeline)
    chosen_device, chosen_dtype = _place_of(device, dtype, engine=engine)
    pipeline: DiffusionPipeline
    if _is_exported(name_or_path):
        pipeline = pipeline_class.from_onnx(found.location)
        return pipeline
    _check_engine(found.track, engine)
    if base is not None:
        pipeline = pipeline_class.from_base(base, name_or_path, dtype=chosen_dtype, local_files_only=local_files_only)
        return _placed(pipeline, chosen_device, chosen_dtype)
    pipeline = pipeline_class.from_pretrained(name_or_path, dtype=chosen_dtype, local_files_only=local_files_only)
    if engine == "onnx":
        from ldrestore.checkpoints.onnx_export import export_to_cache
        from ldrestore.regressors.onnx_regressor import OnnxRegressor

        licence = _licence_of(name_or_path, found.location)
        path = export_to_cache(pipeline.components["regressor"], name=pipeline.config["_name_or_path"], licence=licence)
        pipeline.register_modules(regressor=OnnxRegressor(path))
    return _placed(pipeline, chosen_device, chosen_dtype)


def _placed(pipeline: "DiffusionPipeline", device: "torch.device", dtype: "torch.dtype") -> "DiffusionPipeline":
    """A pipeline on its device; float16 without a GPU is warned of in our words, diffusers' own say that it fails."""
    if (device.type, str(dtype)) != ("cpu", "torch.float16"):
        return pipeline.to(device)
    warnings.warn(SLOW_FLOAT16, stacklevel=3)
    return pipeline.to(device, silence_dtype_warnings=True)


def export_model(name_or_path: str | Path, out_path: str | Path, *, overwrite: bool = False) -> Path:
    """Export a model's network to one .onnx file, which `restore` takes in place of the model.

    Args:
        name_or_path: A name of `list_models()`, the folder of a model, or a repository "owner/name" of the Hub.
        out_path: The file, whose name ends in .onnx.
        overwrite: Whether an existing file is replaced.

    Returns:
        The file.

    Raises:
        InputError: the file exists, its folder does not, its name ends otherwise, or the model is such a file itself.
        WeightsError: the model is missing or damaged.
        MissingExtraError: onnx, onnxscript or onnxruntime is not installed.
        ExportError: the network cannot be exported, or the file cannot be written.
    """
    from ldrestore.checkpoints.onnx_export import check_export_path, export

    if _is_exported(name_or_path):
        raise InputError(f"{name_or_path} is an export already; name the model that it was made of")
    check_export_path(Path(out_path), overwrite=overwrite)
    found = _locate(name_or_path)
    _check_engine(found.track, "onnx")
    pipeline = load_restorer(name_or_path, device="cpu")
    licence = _licence_of(name_or_path, found.location)
    name = pipeline.config["_name_or_path"]
    return export(pipeline.components["regressor"], out_path, name=name, licence=licence, overwrite=overwrite)


logger = logging.getLogger(__name__)


def find_track(name_or_path: str | Path, base: str | Path | None = None) -> TrackRecord:
    """The track of a model, which is not loaded; of a repository its files are fetched.

    Args:
        name_or_path: As for `load_restorer`.
        base: As for `load_restorer`.

    Raises:
        InputError: a base is given for a model that has its own.
        WeightsUnavailableError: no such model within reach.
        WeightsError: it is of no known track.
    """
    return _locate(name_or_path, base).track


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A model that is within reach."""

    location: str | Path
    """Its folder or file, or the repository's name."""
    track: TrackRecord
    is_cached: bool = False
    """Whether it is a repository that was found without asking the Hub."""


@lru_cache(maxsize=MAX_LOADED)
def _loaded(
    name: str,
    base: str | None,
    device: str,
    dtype: "torch.dtype",
    engine: str,
    is_cached: bool,
    stamp: tuple[Any, ...],
) -> "DiffusionPipeline":
    """A loaded model, shared by calls; the stamp of its files makes a changed model another one."""
    if is_cached:
        try:
            return load_restorer(name, base=base, device=device, dtype=dtype, engine=engine, local_files_only=True)
        except WeightsError:  # a download that was broken off, or a base that is not in the cache: ask the Hub
            logger.debug("%s is not whole in the cache; the Hub is asked", name, exc_info=True)
    return load_restorer(name, base=base, device=device, dtype=dtype, engine=engine)


def _locate(
    name_or_path: str | Path,
    base: str | Path | None = None,
    *,
    prefers_cache: bool = False,
    local_files_only: bool = False,
) -> _Found:
    """Where a model lies, and its track.

    Args:
        name_or_path: As for `load_restorer`.
        base: Given for adapters alone.
        prefers_cache: Whether the Hub is asked of a repository only where its cache lacks it.
        local_files_only: Whether the Hub is not asked at all.

    Raises:
        InputError: a base is given for a model that has its own.
        WeightsUnavailableError: no such model within reach.
        WeightsError: it is of no known track.
    """
    from ldrestore.weights.folders import find_model_folder, read_json

    if _is_exported(name_or_path) and base is None:
        return _Found(location=name_or_path, track=track_with_engine("onnx"))
    if _is_foreign_file(name_or_path) and base is None:
        return _Found(location=name_or_path, track=TRACKS.get("foreign"))
    _check_no_architecture(name_or_path)
    location = embedded_folder(name_or_path) or name_or_path
    if base is not None:
        _check_adapters(location)
    try:
        folder, is_cached = _reach(location, prefers_cache=prefers_cache, local_files_only=local_files_only)
        if (folder / ADAPTERS_FILE).is_file():
            pointer = read_json(folder / ADAPTERS_FILE)
            return _Found(location=location, track=track_of_adapters(pointer, source=folder), is_cached=is_cached)
        if base is not None:
            raise InputError(f"{name_or_path} is a whole model, and base is for adapters alone; leave the base out")
        folder = find_model_folder(folder)
    except WeightsUnavailableError as error:
        if "/" in str(name_or_path):
            raise
        raise UnknownModelError(f"{UnknownNameError('model', str(name_or_path), MODELS.names())}; {error}") from error
    class_name = read_json(folder / "model_index.json").get("_class_name")
    return _Found(location=location, track=track_of_class(class_name, source=folder), is_cached=is_cached)


def _reach(location: str | Path, *, prefers_cache: bool, local_files_only: bool) -> tuple[Path, bool]:
    """The folder of a model, and whether it is a repository's in the cache of the Hub, which was not asked.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
    """
    from ldrestore.weights.folders import find_folder

    if prefers_cache and not os.path.isdir(location):
        with contextlib.suppress(WeightsUnavailableError):
            folder = find_folder(location, local_files_only=True)
            if any((folder / name).is_file() for name in ("model_index.json", ADAPTERS_FILE)):
                return folder, True
    return find_folder(location, local_files_only=local_files_only), False


def _check_no_architecture(name_or_path: str | Path) -> None:
    """Refuse the name of an architecture before the Hub is asked for it.

    Raises:
        UnknownModelError: it is one, and no folder is called so.
    """
    name = str(name_or_path)
    if name in REGRESSORS and not Path(name).exists():
        raise UnknownModelError(
            f"{name} is an architecture, not a model; `ldrestore convert {name} CHECKPOINT OUT_DIR` makes a model "
            "folder of a published file, and `ldrestore fetch` lists the files whose place is known"
        )


def _check_adapters(location: str | Path) -> None:
    """Refuse a base for what needs none; of a repository only its loading tells.

    Raises:
        InputError: it is the folder or file of a whole model.
    """
    path = Path(location)
    if os.path.exists(path) and not (path / ADAPTERS_FILE).is_file():
        raise InputError(f"{path.name} is a whole model, and base is for adapters alone; leave the base out")


def _stamp(location: str | Path) -> tuple[Any, ...]:
    """Name, time and size of weights and configs of a local folder, or of an exported file; empty for a repository."""
    path = Path(location)
    files = [path] if path.is_file() else sorted([*path.rglob("*.safetensors"), *path.rglob("*.json")])
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)


def _is_exported(name_or_path: str | Path) -> bool:
    """Whether a model's name is that of an .onnx file, there or not."""
    return Path(name_or_path).suffix.lower() == ".onnx" and not os.path.isdir(name_or_path)


def _is_foreign_file(name_or_path: str | Path) -> bool:
    """Whether a model is one file of weights, which spandrel may recognise."""
    return Path(name_or_path).suffix.lower() in FOREIGN_SUFFIXES and os.path.isfile(name_or_path)


def _check_engine(track: TrackRecord, engine: str) -> None:
    """Refuse an engine that does not compute a track's models.

    Raises:
        InputError: it does not.
    """
    if engine not in track.engines:
        able = [other.name for other in TRACKS if engine in other.engines]
        raise InputError(
            f"only models of the {' or '.join(able)} track go through {engine}, this one is a {pipeline_name(track)}; "
            f"use the engine {track.engines[0]}"
        )


def _licence_of(name_or_path: str | Path, location: str | Path) -> str:
    """Licence of a model's weights, as far as its record or its folder says."""
    from ldrestore.weights.folders import find_model_folder, read_json

    if name_or_path in MODELS:
        return MODELS.get(str(name_or_path)).licence
    origin = find_model_folder(location) / ORIGIN_FILE
    return str(read_json(origin).get("weights_licence", "not stated")) if origin.is_file() else "not stated"


def _engine_of(engine: str, model: str | Path) -> str:
    """The engine that is meant; an exported file has but one.

    Raises:
        UnknownNameError: no such engine.
    """
    if engine not in list_engines():
        raise UnknownNameError("engine", str(engine), list_engines())
    return "onnx" if _is_exported(model) else engine


def _place_of(
    device: "str | torch.device", dtype: "str | torch.dtype | None", *, engine: str
) -> "tuple[torch.device, torch.dtype]":
    """The device and the number format that are meant.

    Raises:
        InputError: no such device or format, or not with this engine.
    """
    if engine != "onnx":
        return device_of(device), _dtype_of(dtype)
    chosen_device, chosen_dtype = device_of("cpu" if device == "auto" else device), _dtype_of(dtype)
    if (chosen_device.type, str(chosen_dtype)) != ("cpu", "torch.float32"):
        raise InputError(
            f"the engine onnx computes on the CPU in float32, got {chosen_device} and {chosen_dtype}; leave out device "
            "and dtype, or use the engine local"
        )
    return chosen_device, chosen_dtype


def device_of(device: "str | torch.device") -> "torch.device":
    """The device that is meant.

    Raises:
        InputError: no such device, or not on this machine.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"expected a device such as auto, cpu, cuda, cuda:1 or mps, got {device!r}") from error
    is_there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and 0 <= (chosen.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
        "meta": False,  # it computes shapes alone
    }
    if not (is_there[chosen.type] if chosen.type in is_there else _computes(chosen)):
        raise InputError(f"this machine or this build of torch has no device {chosen}; use device='auto' or 'cpu'")
    return chosen


def _computes(device: "torch.device") -> bool:
    """Whether this build of torch computes on a device of a rare kind."""
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError):  # as each kind has it
        return False
    return True


def _dtype_of(dtype: "str | torch.dtype | None") -> "torch.dtype":
    """The number format that is meant.

    Raises:
        UnknownNameError: no such format.
    """
    import torch

    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    name = "float32" if dtype is None else str(dtype).removeprefix("torch.")
    if name not in known:
        raise UnknownNameError("dtype", name, known)
    return known[name]
