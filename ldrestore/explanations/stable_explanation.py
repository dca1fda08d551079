"""What a model of the stable track does with one picture, or sees in many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ldrestore.errors import InputError
from ldrestore.estimators.given_degradations import Degradations
from ldrestore.explanations.differences import Difference, ExplainedPictures
from ldrestore.explanations.picture_part import PicturePart, cut, middle_part, read_pair
from ldrestore.explanations.prompt_maps import PictureView, PromptMaps, check_prompt_maps, map_prompts
from ldrestore.explanations.sampling_strip import CleanEstimate, decode_estimates, decode_plainly, watched_sampling
from ldrestore.images.inputs import ImageInput
from ldrestore.options import StableRestoreOptions
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.sampled_records import describe_pipeline
from ldrestore.structures import DegradationEstimate, TilePlan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StableExplanation:
    """What a model of the stable track did with one picture."""

    model: Mapping[str, Any]
    """See `describe_pipeline`."""
    whole_size: tuple[int, int]
    """Height and width of the picture that was given."""
    part: PicturePart
    """The part of it that all else is about."""
    pictures: ExplainedPictures
    """That part of input and ground truth, the result, and where there is a refiner the same decoded without it."""
    estimate: DegradationEstimate
    """P, which weighs all prompts."""
    is_given: bool
    """Whether P was given, and not predicted."""
    num_steps: int
    """Of the sampling."""
    estimates: tuple[CleanEstimate, ...]
    """On the way; none where memory allowed tiles only."""
    prompts: PromptMaps
    record: Mapping[str, Any]
    """How the result was made, see `ldrestore.records.make_record`."""
    differences: Mapping[str, Difference]
    """"restored - input", and with a ground truth also "input - gt", "unrefined - gt" and "restored - gt"."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StableReport:
    """What a model of the stable track sees in P pictures."""

    model: Mapping[str, Any]
    """See `describe_pipeline`."""
    pictures: tuple[str, ...]
    """Their names, in order."""
    names: tuple[str, ...]
    """The N degradations."""
    probabilities: np.ndarray
    """(P, N), each row in [0, 1] and summing to 1."""
    prompts: PromptMaps


def explain_stable(
    pipeline: StableRestorePipeline,
    image: ImageInput,
    *,
    gt: ImageInput | None = None,
    degradations: Degradations | None = None,
    num_inference_steps: int = StableRestoreOptions.num_inference_steps,
    seed: int | None = None,
) -> StableExplanation:
    """Restore a picture, or of a large one the part at its middle, and tell what the model did on the way.

    Args:
        pipeline: The model.
        image: One picture, see `ImageInput`.
        gt: What it should look like, of the same size.
        degradations: What is wrong, in place of a prediction, as in the pipeline's call.
        num_inference_steps: As in the pipeline's call.
        seed: As in the pipeline's call.

    Raises:
        InputError: an option out of range, or an unknown degradation.
        ShapeError: the ground truth has another size.
        ImageFileError: a path cannot be read.
        ConfigError: the scheduler is none whose estimates can be told.
        WeightsError: a model gives infinite or undefined numbers.
        OutOfMemoryError: not even the smallest tile fits.
        MissingExtraError: scikit-learn is not installed.
    """
    check_prompt_maps()
    whole, truth = read_pair(image, gt)
    part = middle_part(whole)
    picture, truth = cut(whole, part), None if truth is None else cut(truth, part)
    with watched_sampling(pipeline) as watch:
        output = pipeline.restore(
            picture,
            StableRestoreOptions(
                degradations=degradations,
                num_inference_steps=num_inference_steps,
                seed=seed,
                tile="off",
                output_type="photo",
                callback_on_step_end=watch.on_step_end,
            ),
        )
    record = output.records[0]
    plan = TilePlan(**record["tile_plan"])
    plain = [] if pipeline.drm is None or watch.latents is None else [watch.latents]
    unrefined = next(iter(decode_plainly(pipeline, plain, picture, plan=plan)), None)
    pictures = ExplainedPictures(picture=picture, restored=output.photos[0], gt=truth, unrefined=unrefined)
    return StableExplanation(
        model=describe_pipeline(pipeline),
        whole_size=(whole.height, whole.width),
        part=part,
        pictures=pictures,
        estimate=output.degradations[0],
        is_given=degradations is not None,
        num_steps=len(watch.timesteps),
        estimates=tuple(decode_estimates(pipeline, watch, picture, plan=plan)),
        prompts=map_prompts(pipeline),
        record=record,
        differences=pictures.differences(),
    )


def report_stable(pipeline: StableRestorePipeline, views: Mapping[str, PictureView]) -> StableReport:
    """Put together what the model sees in many pictures, none of which is restored.

    Args:
        pipeline: The model.
        views: Name of the picture to what `view_picture` told.

    Raises:
        InputError: no picture.
        MissingExtraError: scikit-learn is not installed.
    """
    if not views:
        raise InputError("there is no picture to report on; name at least one")
    return StableReport(
        model=describe_pipeline(pipeline),
        pictures=tuple(views),
        names=pipeline.predictor.names,
        probabilities=np.array([view.estimate.probabilities for view in views.values()]),
        prompts=map_prompts(pipeline, list(views.values())),
    )
