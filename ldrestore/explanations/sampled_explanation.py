"""What any model that samples does with one picture: the picture is restored, and watched on its way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from diffusers import DiffusionPipeline

from ldrestore.errors import InputError
from ldrestore.explanations.differences import Difference, ExplainedPictures
from ldrestore.explanations.picture_part import PicturePart, cut, middle_part, read_pair
from ldrestore.explanations.sampling_strip import CleanEstimate, decode_estimates, decode_plainly, watched_sampling
from ldrestore.images.inputs import ImageInput
from ldrestore.images.photo import Photo
from ldrestore.options import SamplingOptions
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.pipelines.sampled_records import describe_pipeline
from ldrestore.structures import DegradationEstimate, TilePlan

OptionsT = TypeVar("OptionsT", bound=SamplingOptions)
"""Of one track."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledExplanation:
    """What the explanations of all models that sample have."""

    model: Mapping[str, Any]
    """See `describe_pipeline`."""
    whole_size: tuple[int, int]
    """Height and width of the picture that was given."""
    part: PicturePart
    """The part of it that all else is about."""
    pictures: ExplainedPictures
    """That part of input and ground truth, the result, and where there is a refiner the same decoded without it."""
    estimate: DegradationEstimate
    """What the model went by; empty where it estimates nothing."""
    num_steps: int
    """Of the sampling."""
    estimates: tuple[CleanEstimate, ...]
    """On the way; none where memory allowed tiles only."""
    record: Mapping[str, Any]
    """How the result was made, see `ldrestore.records.make_record`."""
    differences: Mapping[str, Difference]
    """"restored - input", and with a ground truth also "input - gt", "unrefined - gt" and "restored - gt"."""


def explain_sampled(
    pipeline: DiffusionPipeline,
    image: ImageInput,
    *,
    restore: Callable[[Photo, OptionsT], RestoreOutput],
    options: OptionsT,
    gt: ImageInput | None,
    has_refiner: bool,
    guidance_scale: float = 1.0,
) -> SampledExplanation:
    """Restore a picture, or of a large one the part at its middle, and tell what happened on the way.

    Args:
        pipeline: Of a track that samples.
        image: One picture, see `ImageInput`.
        restore: Of the pipeline, with options in one object.
        options: Of the call, all but tiles, kind of output and callback.
        gt: What it should look like, of the same size.
        has_refiner: Whether the decoder is refined, so that it is shown without it, too.
        guidance_scale: Of the call.

    Raises:
        InputError: an option out of range, an unknown degradation, or a picture that is to be enlarged or turned.
        ShapeError: the ground truth has another size.
        ImageFileError: a path cannot be read.
        ConfigError: the scheduler is none whose estimates can be told.
        WeightsError: a model gives infinite or undefined numbers.
        OutOfMemoryError: not even the smallest tile fits.
    """
    _check_one_pass(options)
    whole, truth = read_pair(image, gt)
    part = middle_part(whole)
    picture, truth = cut(whole, part), None if truth is None else cut(truth, part)
    with watched_sampling(pipeline, guidance_scale=guidance_scale) as watch:
        watched = replace(options, tile="off", output_type="photo", callback_on_step_end=watch.on_step_end)
        output = restore(picture, watched)
    record = output.records[0]
    plan = TilePlan(**record["tile_plan"])
    is_refined = has_refiner and options.refine
    plain = [watch.latents] if is_refined and watch.latents is not None else []
    unrefined = next(iter(decode_plainly(pipeline, plain, picture, plan=plan)), None)
    pictures = ExplainedPictures(picture=picture, restored=output.photos[0], gt=truth, unrefined=unrefined)
    return SampledExplanation(
        model=describe_pipeline(pipeline),
        whole_size=(whole.height, whole.width),
        part=part,
        pictures=pictures,
        estimate=output.degradations[0],
        num_steps=len(watch.timesteps),
        estimates=tuple(decode_estimates(pipeline, watch, picture, plan=plan)),
        record=record,
        differences=pictures.differences(),
    )


def _check_one_pass(options: SamplingOptions) -> None:
    """Refuse what leaves no one way from the picture to a result of its size.

    Raises:
        InputError: the picture is to be enlarged, or restored in all orientations.
    """
    if options.scale != 1 or options.self_ensemble:
        raise InputError(
            "an explanation follows a picture of its own size through one sampling; leave out scale and self_ensemble, "
            f"got {options.scale} and {options.self_ensemble}"
        )
