"""A picture on its way through the sampling, for the page: numbers, and the strip."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ldrestore.explanations.differences import difference_of, section_of_differences
from ldrestore.explanations.drawing import draw_strip, drawn
from ldrestore.explanations.explainer import Finding
from ldrestore.explanations.page_parts import code, image_of, rounded, table_of
from ldrestore.explanations.sampled_explanation import SampledExplanation
from ldrestore.explanations.sections import Section, finding_of
from ldrestore.images.photo import Photo
from ldrestore.records import hash_of_pixels

STRIP_COLUMNS = 4
"""More pictures make two rows."""


def finding_of_sampled(
    explanation: SampledExplanation,
    sections: Sequence[Section],
    *,
    name: str,
    kind: str,
    lead: Sequence[str] = (),
    document: Mapping[str, Any] | None = None,
) -> Finding:
    """What there is to write of one picture of a model that samples; the differences come last.

    Args:
        explanation: See `explain_sampled`.
        sections: What the track has to say, in order.
        name: What to call the picture.
        kind: What is explained, for the document.
        lead: Further paragraphs below the title.
        document: Further values of the document.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    (height, width), picture = explanation.whole_size, explanation.pictures.picture
    return finding_of(
        f"What {title_of(explanation.model)} does with {code(name)}",
        [*_lead_of(explanation), *lead],
        [*sections, section_of_differences(explanation.pictures, explanation.differences)],
        kind=kind,
        document={
            "model": dict(explanation.model),
            "picture": {"name": name, "height": height, "width": width},
            "seen": {**asdict(explanation.part), "sha256": hash_of_pixels(picture.pixels, picture.alpha)},
            "record": dict(explanation.record),
            **(document or {}),
        },
    )


def title_of(model: Mapping[str, Any]) -> str:
    """Name of a model, as `describe_pipeline` has it; of one without a name, its pipeline's."""
    return code(model["name"]) if model["name"] else str(model["pipeline"])


def _lead_of(explanation: SampledExplanation) -> list[str]:
    """The first paragraphs of a page: size, steps and seed, and which part was looked at."""
    (height, width), model, part = explanation.whole_size, explanation.model, explanation.part
    options = explanation.record["options"]
    lead = [
        f"{width} × {height} pixels; {model['scheduler']}, {options['num_inference_steps']} steps, seed "
        f"{options['seed']}. All numbers are in [explanation.json](explanation.json)."
    ]
    if not part.is_whole:
        lead.append(
            f"The picture is large: all of this is about the {part.width} × {part.height} pixels at its middle, "
            "restored by themselves. With the rest around them the result may be another."
        )
    return lead


def section_of_sampling(explanation: SampledExplanation) -> Section:
    """The strip, and how far each estimate is from the result.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    has_refiner = explanation.pictures.unrefined is not None
    numbers, strip = _entries_of(explanation), strip_of(explanation)
    lead = "At each step the model has an estimate of the clean picture, x₀, here as the autoencoder alone decodes it. "
    if has_refiner:
        lead += "The result is decoded from the last latents, without the refiner and with it."
    else:
        lead += "The decoding had no refiner."
    estimates = "There are no estimates on the way: memory allowed tiles only, and no pass saw the whole."
    if numbers:
        has_gt = explanation.pictures.gt is not None
        columns = ("step", "timestep", "mean distance to the result, of 255", "PSNR, dB")[: 4 if has_gt else 3]
        formats = {"step": "d", "timestep": "g", "mean_to_result": ".2f", "psnr": ".2f"}
        rows = [[f"{entry[key]:{formats[key]}}" for key in list(formats)[: len(columns)]] for entry in numbers]
        estimates = table_of(columns, rows)
    return Section(
        document={
            "sampling": {"num_steps": explanation.num_steps, "estimates": numbers},
            "has_refiner": has_refiner,
        },
        heading="Sampling",
        paragraphs=[lead, estimates, image_of("sampling.png", f"pictures in a row: {'; '.join(strip)}")],
        figures={"sampling.png": _draw(strip)},
    )


def strip_of(explanation: SampledExplanation) -> dict[str, Photo]:
    """The pictures of the strip by their titles: input, estimates, results, and the ground truth where there is one."""
    shown = explanation.pictures
    pictures = {"input": shown.picture}
    for one in explanation.estimates:
        pictures[f"step {one.step} of {explanation.num_steps}, t = {one.timestep:g}"] = one.picture
    if shown.unrefined is not None:
        pictures["decoded without refiner"] = shown.unrefined
    pictures["restored" if shown.unrefined is None else "restored: with refiner"] = shown.restored
    if shown.gt is not None:
        pictures["ground truth (gt)"] = shown.gt
    return pictures


def _draw(strip: dict[str, Photo]) -> bytes:
    """The strip as PNG."""
    pictures = {title: drawn(photo.pixels, is_picture=True) for title, photo in strip.items()}
    count = len(pictures)
    columns = count if count <= STRIP_COLUMNS else math.ceil(count / 2)
    title = "the sampling: what the model takes the picture for, $x_0$, on the way"
    return draw_strip(pictures, columns=columns, title=title)


def _entries_of(explanation: SampledExplanation) -> list[dict[str, Any]]:
    """Step, timestep and distances of each estimate."""
    entries, shown = [], explanation.pictures
    for one in explanation.estimates:
        psnr = None if shown.gt is None else difference_of(one.picture, shown.gt).psnr
        entries.append(
            {
                "step": one.step,
                "timestep": rounded(one.timestep),
                "mean_to_result": rounded(255 * difference_of(one.picture, shown.restored).mean),
                "psnr": rounded(psnr),
            }
        )
    return entries
