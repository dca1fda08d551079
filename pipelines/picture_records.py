"""What the record of one picture says, whatever the track; and what a call returns of all of its pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from ldrestore.images.photo import Photo
from ldrestore.options import RestoreOptions, recorded_options
from ldrestore.pipelines.pipeline_output import RestoreOutput, as_output_type
from ldrestore.records import hash_of_pixels, make_record
from ldrestore.structures import DegradationEstimate, TilePlan


def record_of_picture(
    photo: Photo,
    result: Photo,
    *,
    model: Mapping[str, Any],
    runtime: Mapping[str, Any],
    options: RestoreOptions,
    recorded: Mapping[str, Any],
    mask: Photo | None,
    plan: TilePlan,
    estimate: DegradationEstimate,
    understood: Mapping[str, Any] | None = None,
    more_packages: Sequence[str] = (),
) -> dict[str, Any]:
    """How one picture was made, see `ldrestore.records.make_record`.

    Args:
        photo: The input.
        result: What was made of it.
        model: Pipeline, architecture and weights, as plain values.
        runtime: See `network_identity.runtime_of`.
        options: Of the call.
        recorded: Plain values that stand in place of options, such as the degradations that the user named.
        mask: What was kept of the input.
        plan: The tiles that memory allowed.
        estimate: What the model went by; empty where it estimates nothing.
        understood: What an instruction was taken for; None without one.
        more_packages: That compute in this track alone.
    """
    mask_hash = None if mask is None else hash_of_pixels(mask.pixels, None)
    return make_record(
        model=model,
        options=recorded_options(options, {**recorded, "protect": mask_hash}),
        tile_plan=plan.as_dict(),
        runtime=runtime,
        input_sha256=hash_of_pixels(photo.pixels, photo.alpha),
        output_sha256=hash_of_pixels(result.pixels, result.alpha),
        degradations={name: round(share, 3) for name, share in estimate.ranked()} or None,
        understood=understood,
        more_packages=tuple(more_packages),
    )


def output_of(
    photos: Sequence[Photo],
    results: Sequence[tuple[Photo, DegradationEstimate, dict[str, Any]]],
    *,
    options: RestoreOptions,
    advice: Sequence[tuple[str, ...]] = (),
) -> RestoreOutput:
    """What a call returns.

    Args:
        photos: The inputs.
        results: What was made of each, what is believed to be wrong with it, and its record.
        options: Of the call.
        advice: Sentences for each, where the track has any.
    """
    return RestoreOutput(
        images=[as_output_type(result, options.output_type) for result, _, _ in results],
        photos=[result for result, _, _ in results],
        degradations=[estimate for _, estimate, _ in results],
        records=[record for _, _, record in results],
        advice=list(advice),
        inputs=list(photos),
    )
