"""What a model of the stable track does with one picture, or sees in many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ldrestore.errors import InputError, ShapeError
from ldrestore.estimators.given_degradations import Degradations
from ldrestore.explanations.explanation import Difference, SeenPart, differences_of, seen_part
from ldrestore.explanations.prompt_maps import PictureView, PromptMaps, check_prompt_maps, map_prompts
from ldrestore.explanations.sampling_strip import CleanEstimate, decode_estimates, decode_plainly, watched_sampling
from ldrestore.images.inputs import ImageInput, to_photo
from ldrestore.images.photo import Photo
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.stable_records import describe_pipeline
from ldrestore.structures import DegradationEstimate, TilePlan

DEFAULT_STEPS = 50
"""As the pipeline's call."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StableExplanation:
    """What a model of the stable track did with one picture."""

    model: Mapping[str, Any]
    """See `describe_pipeline`."""
    whole_size: tuple[int, int]
    """Height and width of the picture that was given."""
    seen: SeenPart
    """The part of it that all else is about."""
    picture: Photo
    """That part."""
    gt: Photo | None
    """The same part of the ground truth, where it was given."""
    estimate: DegradationEstimate
    """P, which weighs all prompts."""
    is_given: bool
    """Whether P was given, and not predicted."""
    num_steps: int
    """Of the sampling."""
    estimates: tuple[CleanEstimate, ...]
    """On the way; none where memory allowed tiles only."""
    unrefined: Photo | None
    """The result of the same sampling, decoded without the refiner; None from models that have none."""
    restored: Photo
    """The result."""
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
    num_inference_steps: int = DEFAULT_STEPS,
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
    whole, truth = to_photo(image), None if gt is None else to_photo(gt)
    if truth is not None and (truth.height, truth.width) != (whole.height, whole.width):
        raise ShapeError(
            f"the ground truth must have the picture's size, {whole.width} x {whole.height} pixels, got "
            f"{truth.width} x {truth.height}; give the picture that this one was made from"
        )
    seen = seen_part(whole)
    picture, truth = _cut(whole, seen), None if truth is None else _cut(truth, seen)
    with watched_sampling(pipeline) as watch:
        output = pipeline(
            picture,
            degradations=degradations,
            num_inference_steps=num_inference_steps,
            seed=seed,
            tile="off",
            output_type="photo",
            callback_on_step_end=watch.on_step_end,
        )
    assert isinstance(output, RestoreOutput), "its default"
    restored, record = output.photos[0], output.records[0]
    plan = TilePlan(**record["tile_plan"])
    plain = [] if pipeline.drm is None or watch.latents is None else [watch.latents]
    unrefined = next(iter(decode_plainly(pipeline, plain, picture, plan=plan)), None)
    between = {} if unrefined is None else {"unrefined": unrefined}
    return StableExplanation(
        model=describe_pipeline(pipeline),
        whole_size=(whole.height, whole.width),
        seen=seen,
        picture=picture,
        gt=truth,
        estimate=output.degradations[0],
        is_given=degradations is not None,
        num_steps=len(watch.timesteps),
        estimates=tuple(decode_estimates(pipeline, watch, picture, plan=plan)),
        unrefined=unrefined,
        restored=restored,
        prompts=map_prompts(pipeline),
        record=record,
        differences=differences_of(picture, restored, truth, between=between),
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


def _cut(photo: Photo, seen: SeenPart) -> Photo:
    """That part of a photo; a whole one is handed through."""
    if seen.is_whole:
        return photo
    rows, columns = slice(seen.top, seen.top + seen.height), slice(seen.left, seen.left + seen.width)
    alpha = None if photo.alpha is None else photo.alpha[rows, columns]
    return photo.replace(pixels=np.ascontiguousarray(photo.pixels[rows, columns]), alpha=alpha)
