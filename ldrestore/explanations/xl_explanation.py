"""What a model of the XL track does with one picture."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ldrestore.blocks.observation import observed
from ldrestore.explanations.alignment_watch import Alignment, watched_alignment
from ldrestore.explanations.differences import Difference, ExplainedPictures
from ldrestore.explanations.picture_part import PicturePart, cut, middle_part, read_pair
from ldrestore.explanations.sampling_strip import CleanEstimate, decode_estimates, decode_plainly, watched_sampling
from ldrestore.images.inputs import ImageInput
from ldrestore.options import XLRestoreOptions
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.pipelines.sampled_records import describe_pipeline
from ldrestore.structures import TilePlan
from ldrestore.systems.picture_sampling import timesteps_of
from ldrestore.systems.unildiff_parts import fusion_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpertChoice:
    """What one router of the decoder said about the picture."""

    probabilities: np.ndarray
    """(E,), the mean over all decisions."""
    shares: np.ndarray
    """(E,), in how many of the decisions each expert was the first; they sum to 1."""
    first: np.ndarray | None
    """(rows, columns), the first expert of each patch; None where the picture takes one decision."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class XLExplanation:
    """What a model of the XL track did with one picture."""

    model: Mapping[str, Any]
    """See `describe_pipeline`."""
    whole_size: tuple[int, int]
    """Height and width of the picture that was given."""
    part: PicturePart
    """The part of it that all else is about."""
    pictures: ExplainedPictures
    """That part of input and ground truth, the result, and where there is a refiner the same decoded without it."""
    num_steps: int
    """Of the sampling."""
    estimates: tuple[CleanEstimate, ...]
    """On the way; none where memory allowed tiles only."""
    alignments: tuple[Alignment, ...]
    """At an early, a middle and a late step; none without DAFF."""
    experts: Mapping[str, ExpertChoice]
    """Of each level of the decoder; none without experts."""
    record: Mapping[str, Any]
    """How the result was made, see `ldrestore.records.make_record`."""
    differences: Mapping[str, Difference]
    """"restored - input", and with a ground truth also "input - gt", "unrefined - gt" and "restored - gt"."""


def explain_xl(
    pipeline: XLRestorePipeline, image: ImageInput, options: XLRestoreOptions, *, gt: ImageInput | None = None
) -> XLExplanation:
    """Restore a picture, or of a large one the part at its middle, and tell what the model did on the way.

    Args:
        pipeline: The model.
        image: One picture, see `ImageInput`.
        options: Of the call; those of its texts, of the sampling and the seed count.
        gt: What it should look like, of the same size.

    Raises:
        InputError: an option out of range, or an unknown degradation.
        ShapeError: the ground truth has another size.
        ImageFileError: a path cannot be read.
        ConfigError: the scheduler is none whose estimates can be told.
        WeightsError: a model gives infinite or undefined numbers.
        OutOfMemoryError: not even the smallest tile fits.
    """
    whole, truth = read_pair(image, gt)
    part = middle_part(whole)
    picture, truth = cut(whole, part), None if truth is None else cut(truth, part)
    timesteps = timesteps_of(options, pipeline.scheduler, device=pipeline.device).tolist()
    shown = dict.fromkeys(timesteps[place] for place in (0, len(timesteps) // 2, -1)) if timesteps else {}
    routers = {} if pipeline.daem is None else pipeline.daem.routers
    with (
        watched_sampling(pipeline, guidance_scale=options.guidance_scale) as watch,
        watched_alignment(fusion_of(pipeline.components), list(map(float, shown))) as alignment,
        observed(routers) as routings,
    ):
        taken = replace(options, tile="off", output_type="photo", callback_on_step_end=watch.on_step_end)
        output = pipeline.restore(picture, taken)
    record = output.records[0]
    plan = TilePlan(**record["tile_plan"])
    plain = [] if pipeline.daem is None or watch.latents is None else [watch.latents]
    unrefined = next(iter(decode_plainly(pipeline, plain, picture, plan=plan)), None)
    pictures = ExplainedPictures(picture=picture, restored=output.photos[0], gt=truth, unrefined=unrefined)
    return XLExplanation(
        model=describe_pipeline(pipeline),
        whole_size=(whole.height, whole.width),
        part=part,
        pictures=pictures,
        num_steps=len(watch.timesteps),
        estimates=tuple(decode_estimates(pipeline, watch, picture, plan=plan)),
        alignments=alignment.alignments(),
        experts=_choices(pipeline, routings, size=(picture.height, picture.width)),
        record=record,
        differences=pictures.differences(),
    )


def _choices(
    pipeline: XLRestorePipeline, routings: Mapping[str, Any], *, size: tuple[int, int]
) -> dict[str, ExpertChoice]:
    """What the routers said, the finest level first."""
    if pipeline.daem is None:
        return {}
    factor = pipeline.lq_encoder.factor
    padded = [-(-side // factor) * factor for side in size]
    choices = {}
    for level, name in enumerate(pipeline.daem.routers):
        if name not in routings:
            continue
        probabilities = routings[name].probabilities.float().cpu().numpy()  # (decisions, E)
        first = probabilities.argmax(axis=1)
        shares = np.bincount(first, minlength=probabilities.shape[1]) / len(first)
        patch: int = pipeline.daem.config["patch_size"] * 2**level
        grid = (-(-padded[0] // patch), -(-padded[1] // patch))
        is_map = pipeline.daem.config["routing"] == "patch" and grid[0] * grid[1] == len(first)
        choices[name] = ExpertChoice(
            probabilities=probabilities.mean(axis=0), shares=shares, first=first.reshape(grid) if is_map else None
        )
    return choices
