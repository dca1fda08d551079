"""Pictures through a pipeline that samples, whatever it stands upon: what steers each, and then one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
from diffusers import DiffusionPipeline
from torch import Tensor

from ldrestore.adapters.unet_connection import UNetConnection
from ldrestore.checkpoints.network_identity import runtime_of
from ldrestore.images.photo import Photo
from ldrestore.images.protection import finished, read_masks
from ldrestore.images.working_copy import working_copy
from ldrestore.options import SamplingOptions
from ldrestore.pipelines.one_call import one_call
from ldrestore.pipelines.picture_records import output_of, record_of_picture
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.pipelines.sampled_records import MORE_PACKAGES, describe_pipeline
from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.sampling.picture_noise import run_seed_of
from ldrestore.structures import DegradationEstimate, TilePlan
from ldrestore.systems.finite_numbers import again_in_float32
from ldrestore.systems.picture_sampling import StagePlans, draw, timesteps_of, visible_content, with_steps
from ldrestore.systems.sampled_pictures import lq_of, plan_of_picture, to_pixels
from ldrestore.systems.sampled_system import SampledSystem
from ldrestore.tiling.freed_memory import keeping_freed_memory
from ldrestore.tiling.retries import on_cpu_without_memory

StepCallback = Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor]]
"""Of diffusers: pipeline, number of the step, timestep and {"latents": ...} to the same, changed or not."""

_Conditioning = TypeVar("_Conditioning")
_Options = TypeVar("_Options", bound=SamplingOptions)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureSteering(Generic[_Conditioning]):
    """What steers one picture, and what its record tells of that."""

    conditioning: _Conditioning
    """As the system takes it."""
    estimate: DegradationEstimate = field(default_factory=DegradationEstimate)
    """What is believed to be wrong; empty from models that estimate nothing."""
    recorded: Mapping[str, Any] = field(default_factory=dict)
    """Plain values that the record tells in place of options of the call."""


def drawn_options(options: _Options, *, has_refiner: bool, steps: int) -> _Options:
    """Options with what the call leaves open filled in.

    Args:
        options: Of the call.
        has_refiner: Whether there is anything to refine the decoder with.
        steps: Of the schedule, where the call says nothing.

    Raises:
        InputError: seed and generator are both given, or the seed is out of range.
    """
    seed = run_seed_of(options.seed, options.generator)
    refine = options.refine and has_refiner
    return replace(with_steps(options, steps), seed=seed, generator=None, refine=refine)


def restore_pictures(
    pipeline: DiffusionPipeline,
    photos: Sequence[Photo],
    *,
    options: SamplingOptions,
    connection: UNetConnection[Any],
    look_at: Callable[[Sequence[Photo]], Sequence[PictureSteering[_Conditioning]]],
    make_system: Callable[[], SampledSystem[_Conditioning, Any]],
) -> RestoreOutput:
    """Restore pictures, each by itself: neither order nor company changes a result.

    Args:
        pipeline: Has `vae`, `unet` and `scheduler` among its parts.
        photos: The inputs.
        options: Of the call, see `drawn_options`.
        connection: What the pipeline attaches to its U-Net; connected when the pictures have been looked at.
        look_at: What steers each working copy, for all pictures before the first is restored.
        make_system: What the pictures go through, once the U-Net is connected.

    Raises:
        LDRestoreError: as the pipeline's call.
    """
    masks = read_masks(options.protect, photos)
    copies = [working_copy(photo, scale=options.scale) for photo in photos]
    parts = pipeline.components
    results = []
    with one_call(pipeline):
        timesteps_of(options, parts["scheduler"], device=pipeline._execution_device)  # refuses what is out of range
        model, runtime, looks = describe_pipeline(pipeline), runtime_of(parts["unet"]), look_at(copies)
        connection.connect(parts)
        system = make_system()
        for photo, large, mask, look in zip(photos, copies, masks, looks, strict=True):
            pixels, plan = _restore(pipeline, photo, large, look.conditioning, system=system, options=options)
            result = finished(pixels, large=large, photo=photo, mask=mask, keep_grain=options.keep_grain)
            record = record_of_picture(
                photo,
                result,
                model=model,
                runtime=runtime,
                options=options,
                recorded=look.recorded,
                mask=mask,
                plan=plan,
                estimate=look.estimate,
                more_packages=MORE_PACKAGES,
            )
            results.append((result, look.estimate, record))
    return output_of(photos, results, options=options)


def _restore(
    pipeline: DiffusionPipeline,
    photo: Photo,
    large: Photo,
    conditioning: _Conditioning,
    *,
    system: SampledSystem[_Conditioning, Any],
    options: SamplingOptions,
) -> tuple[np.ndarray, TilePlan]:
    """Restore a working copy, each stage with smaller tiles where it runs out of memory; also the last plan."""
    vae, unet, scheduler = (pipeline.components[name] for name in ("vae", "unet", "scheduler"))
    lq = lq_of(large.pixels, multiple=downsampling_of(vae), device=pipeline._execution_device)
    plan = plan_of_picture(photo, large, vae=vae, unet=unet, decoder_bytes=system.bytes_per_pixel, options=options)
    plans = StagePlans(plan, height=large.height, width=large.width)
    callback: StepCallback | None = options.callback_on_step_end

    def on_step_end(index: int, timestep: Tensor, latents: Tensor) -> Tensor:
        assert callback is not None, "only called where there is one"
        return callback(pipeline, index, timestep, {"latents": latents}).get("latents", latents)

    def compute() -> Tensor:
        return draw(
            lq,
            conditioning,
            system=system,
            scheduler=scheduler,
            options=options,
            content=visible_content(photo),
            plans=plans,
            progress_bar=pipeline.progress_bar,
            on_step_end=None if callback is None else on_step_end,
        )

    with keeping_freed_memory():
        restored = again_in_float32(compute, system.networks)
        finish = partial(to_pixels, original=large.pixels, fidelity=options.fidelity, colour_fix=options.colour_fix)
        return on_cpu_without_memory(finish, restored, lq), plans.summary
