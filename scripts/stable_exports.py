"""Pipelines of the stable track, put together from a base and what training runs exported, and rows measured with them.

Protocol "uint8", as in `picture_pairs`: the square at the centre of a clean 8-bit picture is degraded, clipped and
rounded to 8 bits, restored without being told what is wrong, and rounded to 8 bits.
"""

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measurement_file import MeasurementFile, Row, as_row
from picture_pairs import SEVERITY, Pair, centre_of, degraded, psnr

from ldrestore.errors import LDRestoreError
from ldrestore.images.files import read_photo
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.stable_exports import load_part
from ldrestore.pipelines.stable_parts import check_parts
from ldrestore.pipelines.stable_records import describe_pipeline
from ldrestore.records import RECORDED_PACKAGES
from ldrestore.training.stable_adapters import PART_CLASSES
from ldrestore.weights import hash_of_file

Distance = Callable[[list[np.ndarray], np.ndarray], list[float]]
"""Of pictures from a clean one, such as `ShiftTolerantDistance`."""

WRONG_INPUT = (LDRestoreError, ValueError, OSError)
"""What a wrong call of these scripts ends in."""

DIGITS = 4
"""After the point, of all values that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How pictures are sampled."""

    steps: int = 20
    """Of the whole schedule."""
    strength: float = 1.0
    """Which part of it is gone through; less than 1 starts from the damaged picture's noised latents."""
    seed: int = 0
    """Of the run."""


def assemble(
    base: Path, export: Path, *, drm: Path | None = None, device: str = "cpu", leaves_out_parts: bool = False
) -> StableRestorePipeline:
    """A pipeline from a base, a run's parts, and a detail refinement module.

    Args:
        base: Folder in the layout of diffusers with the vision tower in `image_encoder`: the export of a run of the
            U-Net, or a whole saved pipeline, of which only the base is taken.
        export: Of a run of stage 1, with its predictor; or of the predictor alone, with `leaves_out_parts`.
        drm: What has the module in its folder `drm`; None for no refinement.
        device: Where everything computes.
        leaves_out_parts: Whether stage 1 is left out: the bare prior.

    Raises:
        WeightsError: something is missing or damaged, or parts do not belong together.
    """
    pipeline = StableRestorePipeline.from_exports(base, export, local_files_only=True)
    refiner = None if drm is None else load_part(drm, "drm", dtype=torch.float32).eval()
    left_out = dict.fromkeys(PART_CLASSES) if leaves_out_parts else {}
    pipeline.register_modules(drm=refiner, **left_out)
    check_parts(pipeline.components)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def decoded(pipeline: StableRestorePipeline, lq: np.ndarray, sampling: Sampling) -> dict[str, np.ndarray]:
    """One sample, decoded by the autoencoder alone as "plain", and where there is a DRM, by both as "refined".

    Args:
        pipeline: With or without a DRM.
        lq: (H, W, 3) uint8.
        sampling: How it is drawn.

    Returns:
        Pictures of the same shape and type.
    """
    kept: dict[str, Any] = {}

    def keep(pipeline: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        kept.update(values)
        return values

    def take(pipeline: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        return kept

    options = {"seed": sampling.seed, "tile": "off", "output_type": "photo"}
    whole = {"num_inference_steps": sampling.steps, "strength": sampling.strength}
    plain = pipeline(lq, refine=False, callback_on_step_end=keep, **whole, **options).photos[0].pixels
    if pipeline.drm is None:
        return {"plain": plain}
    # the second call takes one step, whose outcome the kept sample replaces
    refined = pipeline(lq, num_inference_steps=1, callback_on_step_end=take, **options).photos[0].pixels
    return {"plain": plain, "refined": refined}


def at_half(degradation: str) -> str:
    """The recipe of a degradation at severity 0.5, spelled out, so that every script draws the same."""
    return f"{degradation}(severity={SEVERITY:g})"


def centred_pairs(paths: Iterable[Path], recipe: str, *, crop: int) -> Iterator[Pair]:
    """The squares at the centres of clean pictures, and themselves degraded.

    Args:
        paths: Of the pictures.
        recipe: What is done to them.
        crop: Side of the squares in pixels; a picture that is smaller is taken whole.
    """
    for path in paths:
        gt = centre_of(read_photo(path).pixels, crop)
        yield Pair(path.name, degraded(gt, recipe, path.name), gt)


def measured(pipeline: StableRestorePipeline, pairs: Iterable[Pair], *, sampling: Sampling, distance: Distance) -> Row:
    """PSNR and ST-LPIPS of degraded and restored pictures; their weights and strength are told beside them."""
    names: list[str] = []
    values: dict[str, list[float]] = {}
    for pair in pairs:
        pictures = {"input": pair.lq, **decoded(pipeline, pair.lq, sampling)}
        names.append(pair.name)
        for (name, picture), far in zip(pictures.items(), distance(list(pictures.values()), pair.gt), strict=True):
            values.setdefault(f"{name}_psnr", []).append(psnr(picture, pair.gt))
            values.setdefault(f"{name}_stlpips", []).append(far)
    return {**as_row(names, values, digits=DIGITS), **identity(pipeline, sampling)}


def identity(pipeline: StableRestorePipeline, sampling: Sampling) -> Row:
    """What a stored row must share with the present model."""
    described = describe_pipeline(pipeline)
    same = {key: described[key] for key in ("weights_sha256", "scheduler_sha256", "view")}
    return {**same, "strength": sampling.strength}


def measure_row(
    file: MeasurementFile,
    section: str,
    name: str,
    *,
    pipeline: StableRestorePipeline,
    pairs: Iterable[Pair],
    sampling: Sampling,
    distance: Distance,
) -> Row:
    """A row of these weights that is stored already, or a new one, which is stored."""
    known = file.row(section, name)
    same = identity(pipeline, sampling)
    if known is not None and {key: known.get(key) for key in same} == same:
        return known
    row = measured(pipeline, pairs, sampling=sampling, distance=distance)
    file.add(section, name, row)
    print(section, name, {metric: values[0] for metric, values in row["means"].items()}, flush=True)
    return row


def header_of(paths: Iterable[Path], *, settings: dict[str, Any], device: str) -> dict[str, Any]:
    """What all rows share: protocol, settings and pictures; weights are told by each row."""
    return {
        "protocol": "uint8",
        "settings": settings,
        "pictures": {path.name: hash_of_file(path)[:16] for path in paths},
        "environment": environment_of(device),
    }


def environment_of(device: str) -> dict[str, Any]:
    """What figures may depend on beside models and pictures."""
    is_gpu = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_gpu else "the CPU",
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": {name: version(name) for name in RECORDED_PACKAGES},
    }
