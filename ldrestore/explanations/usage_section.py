"""Which prompts and experts a network uses, and where they work, for one picture: numbers and figures."""

import math
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from ldrestore.explanations.drawing import BAR, WIDTH, blank_figure, draw_panels, draw_ranking, draw_table, drawn
from ldrestore.explanations.fast_explanation import Explanation
from ldrestore.explanations.page_parts import code, entries, image_of, rounded, table_of
from ldrestore.explanations.picture_part import PicturePart
from ldrestore.explanations.sections import Section

MAX_BAR_POOLS = 3
"""As many pools are drawn as bars; more, as a table of colours."""


def section_of_usage(explanation: Explanation) -> Section:
    """Prompts and experts of one picture, or that there are none.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    model, usage, unit = explanation.model, explanation.usage, str(explanation.model.unit)
    document = {
        "usage": entries(usage),
        "routing": [{**asdict(route), "probability": rounded(route.probability)} for route in explanation.routing],
    }
    if not usage:
        what = f"{model.architecture} has no prompts or experts that it could show."
        return Section(document=document, heading="Prompts and experts", paragraphs=[what])
    paragraphs = [_place_of(explanation.part, "The numbers are")]
    if explanation.is_told is False:
        paragraphs.append("Neither an instruction nor an embedding was given, and the model says what it does without.")
    if model.routes_to_one:
        rows = [(route.block, str(route.expert), f"{route.probability:.2f}") for route in explanation.routing]
        paragraphs.append("Each block gives the picture to its most probable expert, counted from 0, the cheapest.")
        paragraphs.append(table_of(("block", "expert", "probability"), rows))
    what = f"probability of each {unit}, the chosen one framed"
    title = what if model.routes_to_one else f"how strongly each {unit} is used"
    rows_of_figure = {name: np.array(weights) for name, weights in usage.items()}
    return Section(
        document=document,
        heading=heading_of(unit),
        paragraphs=[*paragraphs, image_of("usage.png", f"usage of the {unit}s")],
        figures={"usage.png": draw_usage(rows_of_figure, title=title, unit=unit, is_framed=model.routes_to_one)},
    )


def section_of_maps(explanation: Explanation) -> Section:
    """Where each expert changes the result, if there are maps.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    maps = explanation.expert_maps
    if maps is None:
        return Section(document={"expert_maps": None})
    numbers = [
        {"expert": index, "mean": rounded(one.mean()), "max": rounded(one.max())} for index, one in enumerate(maps)
    ]
    what = "How far the result moves when an expert is silent everywhere. "
    return Section(
        document={"expert_maps": numbers},
        heading="Where each expert works",
        paragraphs=[
            what + _place_of(explanation.part, "The maps are"),
            image_of("expert_maps.png", "maps of the experts"),
        ],
        figures={"expert_maps.png": _draw_maps(explanation, maps)},
    )


def section_of_instruction(explanation: Explanation) -> Section:
    """What the instruction was taken for, if there was one.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    instruction = explanation.instruction
    if instruction is None:
        return Section(document={"instruction": None})
    name, probabilities = instruction.asked_for, instruction.probabilities
    ranked = sorted(probabilities.items(), key=lambda pair: -pair[1])
    return Section(
        document={
            "instruction": {
                "text": instruction.text,
                "asked_for": name,
                "probabilities": {key: rounded(value) for key, value in probabilities.items()},
            }
        },
        heading="Instruction",
        paragraphs=[
            f"{code(instruction.text)} is taken for {name.replace('_', ' ')} ({probabilities[name]:.0%}).",
            image_of("instruction.png", "classes of the instruction"),
        ],
        figures={"instruction.png": draw_ranking(ranked, title="what the instruction is taken for")},
    )


def heading_of(unit: str | None) -> str:
    """Heading of a section about prompts or experts."""
    return f"{str(unit).capitalize()}s"


def draw_usage(rows: Mapping[str, np.ndarray], *, title: str, unit: str, is_framed: bool = False) -> bytes:
    """How strongly prompts or experts are used, as bars, or where there are many names as a table of colours.

    Args:
        rows: Name of the pool, block or place to (N,), in [0, 1].
        title: Of the figure.
        unit: What is counted.
        is_framed: Whether the highest of each row is framed, in a table.

    Returns:
        PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if len(rows) > MAX_BAR_POOLS and len({len(row) for row in rows.values()}) == 1:
        return draw_table(rows, title=title, unit=unit, is_framed=is_framed)
    return _draw_bars(rows, title=title, unit=unit)


def _draw_bars(rows: Mapping[str, np.ndarray], *, title: str, unit: str) -> bytes:
    """Name to (N,) as one panel of bars each, side by side."""
    sizes = [max(len(row), 4) for row in rows.values()]
    with blank_figure(min(WIDTH, 2.0 + 0.45 * sum(sizes)), 2.9) as (figure, png):
        panels = figure.subplots(1, len(rows), sharey=True, squeeze=False, width_ratios=sizes)[0]
        for panel, (name, row) in zip(panels, rows.items(), strict=True):
            panel.bar(range(len(row)), row, color=BAR, width=0.75)
            for place, value in enumerate(row):
                if value >= 0.005:  # a prompt that was not taken has no bar and needs no label
                    panel.text(place, value, f"{value:.2f}", ha="center", va="bottom", fontsize=7)
            panel.set(title=name, xlabel=unit, xticks=range(len(row)))
            panel.tick_params(axis="x", labelsize=8)
        panels[0].set(ylabel="weight", ylim=(0, 1.15 * max(0.01, *(float(row.max()) for row in rows.values()))))
        figure.suptitle(title, fontsize=10)
    return png.getvalue()


def _draw_maps(explanation: Explanation, maps: np.ndarray) -> bytes:
    """What was looked at, and where each expert changes the result."""
    part, pixels = explanation.part, explanation.pictures.picture.pixels
    return draw_panels(
        {"input" if part.is_whole else "middle of the input": drawn(part.of(pixels), is_picture=True)},
        {f"expert {index}\nmean {255 * one.mean():.3f}": drawn(255 * one) for index, one in enumerate(maps)},
        columns=min(4, math.ceil(math.sqrt(len(maps) + 1))),
        label="change, of 255",
        least_top=1e-6,
    )


def _place_of(part: PicturePart, subject: str) -> str:
    """Which part of the picture something is about."""
    if part.is_whole:
        return f"{subject} those of the whole picture, seen at once."
    return (
        f"{subject} those of the {part.width} × {part.height} pixels at the middle of the picture, seen at once. The "
        "rest was restored, but not looked at here: with it, or without it, the model may choose otherwise."
    )
