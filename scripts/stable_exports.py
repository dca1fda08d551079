"""Pipelines of the stable track, put together from a base and what training runs exported, and what rows hold of them.

Protocol "uint8", as in `ldrestore.datasets.compared_pairs`: the square at the centre of a clean 8-bit picture is
degraded, clipped and rounded to 8 bits, restored without being told what is wrong, and rounded to 8 bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measured_rows import environment_of
from measurement_file import Row

from ldrestore.checkpoints.run_exports import load_trained_part
from ldrestore.datasets.compared_pairs import SEVERITY, Pair
from ldrestore.metrics.psnr import MEAN_CAP, psnr
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.sampled_records import describe_pipeline
from ldrestore.systems.mperceiver_parts import MPERCEIVER_PARTS, check_parts
from ldrestore.training.networks.stable_adapters import PART_CLASSES

Distance = Callable[[list[np.ndarray], np.ndarray], list[float]]
"""Of pictures from a clean one, such as `ShiftTolerantDistance`."""


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
    refiner = None if drm is None else load_trained_part(drm, "drm", table=MPERCEIVER_PARTS, dtype=torch.float32).eval()
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


def measure_of(
    pipeline: StableRestorePipeline, *, sampling: Sampling, distance: Distance
) -> Callable[[Pair], dict[str, float]]:
    """PSNR and ST-LPIPS of degraded and restored pictures, as a function of a pair."""

    def measure(pair: Pair) -> dict[str, float]:
        pictures = {"input": pair.lq, **decoded(pipeline, pair.lq, sampling)}
        values = {f"{name}_psnr": psnr(picture, pair.gt, cap=MEAN_CAP) for name, picture in pictures.items()}
        distances = distance(list(pictures.values()), pair.gt)
        return values | {f"{name}_stlpips": far for name, far in zip(pictures, distances, strict=True)}

    return measure


def identity(pipeline: StableRestorePipeline, sampling: Sampling) -> Row:
    """What a stored row must share with the present model and machine."""
    described = describe_pipeline(pipeline)
    same = {key: described[key] for key in ("weights_sha256", "scheduler_sha256", "view")}
    return {**same, "strength": sampling.strength, "environment": environment_of(str(pipeline._execution_device))}
