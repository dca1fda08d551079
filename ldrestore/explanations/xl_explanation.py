"""What a model of the XL track does with one picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ldrestore.blocks.observation import observed
from ldrestore.explanations.alignment_watch import Alignment, watched_alignment
from ldrestore.explanations.sampled_explanation import SampledExplanation, explain_sampled
from ldrestore.images.inputs import ImageInput
from ldrestore.options import XLRestoreOptions
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.systems.picture_sampling import timesteps_of, with_steps
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

    sampled: SampledExplanation
    """Pictures, steps, record and differences; nothing is estimated."""
    alignments: tuple[Alignment, ...]
    """At an early, a middle and a late step; none without DAFF."""
    experts: Mapping[str, ExpertChoice]
    """Of each level of the decoder; none without experts."""


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
        LDRestoreError: as `explain_sampled`.
    """
    options = with_steps(options, pipeline.config["steps"])
    timesteps = timesteps_of(options, pipeline.scheduler, device=pipeline._execution_device).tolist()
    shown = dict.fromkeys(timesteps[place] for place in (0, len(timesteps) // 2, -1)) if timesteps else {}
    routers = {} if pipeline.daem is None else pipeline.daem.routers
    with (
        watched_alignment(fusion_of(pipeline.components), list(map(float, shown))) as alignment,
        observed(routers) as routings,
    ):
        sampled = explain_sampled(
            pipeline,
            image,
            restore=pipeline.restore,
            options=options,
            gt=gt,
            has_refiner=pipeline.daem is not None,
            guidance_scale=options.guidance_scale,
        )
    picture = sampled.pictures.picture
    return XLExplanation(
        sampled=sampled,
        alignments=alignment.alignments(),
        experts=_choices(pipeline, routings, size=(picture.height, picture.width)),
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
