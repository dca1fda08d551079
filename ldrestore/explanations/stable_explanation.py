"""What a model of the stable track does with one picture, or sees in many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ldrestore.errors import InputError
from ldrestore.explanations.prompt_maps import PictureView, PromptMaps, check_prompt_maps, map_prompts
from ldrestore.explanations.sampled_explanation import SampledExplanation, explain_sampled
from ldrestore.images.inputs import ImageInput
from ldrestore.options import StableRestoreOptions
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.sampled_records import describe_pipeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StableExplanation:
    """What a model of the stable track did with one picture."""

    sampled: SampledExplanation
    """Pictures, steps, record and differences; its estimate is P, which weighs all prompts."""
    is_given: bool
    """Whether P was given, and not predicted."""
    prompts: PromptMaps


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
    pipeline: StableRestorePipeline, image: ImageInput, options: StableRestoreOptions, *, gt: ImageInput | None = None
) -> StableExplanation:
    """Restore a picture, or of a large one the part at its middle, and tell what the model did on the way.

    Args:
        pipeline: The model.
        image: One picture, see `ImageInput`.
        options: Of the call; degradations, steps and seed count.
        gt: What it should look like, of the same size.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        LDRestoreError: as `explain_sampled`.
    """
    check_prompt_maps()
    return StableExplanation(
        sampled=explain_sampled(
            pipeline, image, restore=pipeline.restore, options=options, gt=gt, has_refiner=pipeline.drm is not None
        ),
        is_given=options.degradations is not None,
        prompts=map_prompts(pipeline),
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
