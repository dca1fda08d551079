"""Figures of explanations as PNG files in memory: drawn without a display, the same bytes for the same numbers."""

import math
from collections.abc import Mapping

import numpy as np

from ldrestore.assets.sentences import OUTSIDE
from ldrestore.explanations.drawing import (
    BAR,
    QUIET,
    WIDTH,
    blank_figure,
    draw_panels,
    draw_ranking,
    draw_table,
    drawn,
    scatter_classes,
    style_of,
)
from ldrestore.explanations.explanation import Difference, Explanation
from ldrestore.explanations.saved_explanation import SENTENCES
from ldrestore.explanations.sentence_map import SentenceMap
from ldrestore.explanations.usage_report import UsageReport
from ldrestore.images.photo import Photo

MAX_BAR_POOLS = 3
"""As many pools are drawn as bars; more, as a table of colours."""


def figures_of_explanation(explanation: Explanation) -> dict[str, bytes]:
    """All figures that there is something to draw of.

    Args:
        explanation: Of one picture.

    Returns:
        File name, such as "usage.png", to PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    pictures = {"input": explanation.picture, "restored": explanation.restored}
    if explanation.gt is not None:
        pictures["ground truth (gt)"] = explanation.gt
    figures = {"differences.png": draw_differences(pictures, explanation.differences)}
    if explanation.estimate is not None:
        figures["estimate.png"] = draw_ranking(explanation.estimate.ranked(), title="degradations that the model sees")
    if explanation.instruction is not None:
        ranked = sorted(explanation.instruction.probabilities.items(), key=lambda pair: -pair[1])
        figures["instruction.png"] = draw_ranking(ranked, title="what the instruction is taken for")
    if explanation.usage:
        unit = str(explanation.model.unit)
        rows = {name: np.array(weights) for name, weights in explanation.usage.items()}
        what = f"probability of each {unit}, the chosen one framed"
        title = what if explanation.model.routes_to_one else f"how strongly each {unit} is used"
        figures["usage.png"] = _draw_usage(rows, title=title, unit=unit, is_framed=explanation.model.routes_to_one)
    if explanation.expert_maps is not None:
        figures["expert_maps.png"] = _draw_expert_maps(explanation, explanation.expert_maps)
    return figures


def figures_of_report(report: UsageReport) -> dict[str, bytes]:
    """The figures of many pictures: mean usage, and for networks that route the share of pictures of each expert.

    Args:
        report: Of at least one picture.

    Returns:
        File name to PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    unit, count = str(report.model.unit), len(report.pictures)
    over = f"mean over {count} picture{'s' * (count > 1)}"
    what = f"probability of each {unit}" if report.model.routes_to_one else f"how strongly each {unit} is used"
    figures = {"usage.png": _draw_usage(report.mean(), title=f"{what}, {over}", unit=unit)}
    if shares := report.shares():
        title = f"share of the {count} picture{'s' * (count > 1)} that each {unit} gets"
        figures["routing.png"] = draw_table(shares, title=title, unit=unit)
    return figures


def figures_of_sentences(found: SentenceMap) -> dict[str, bytes]:
    """The one figure of a sentence map.

    Args:
        found: See `map_sentences`.

    Returns:
        File name to PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    names = [sentence.class_name for sentence in found.sentences]
    known = [name for name in found.classes if name in names]
    others = [name for name in dict.fromkeys(names) if name not in (*known, OUTSIDE)]
    classes = [*known, *others, *([OUTSIDE] if OUTSIDE in names else [])]
    styles = {name: (name.replace("_", " "), *style_of(index)) for index, name in enumerate(classes)}
    if OUTSIDE in names:
        styles[OUTSIDE] = ("outside: nothing that is known", QUIET, ".")
    panels = (
        ("before the head: vectors of the encoder", found.before, found.silhouette_before),
        ("after the head: its embeddings", found.after, found.silhouette_after),
    )
    with blank_figure(WIDTH, 5.6) as (figure, png):
        axes = figure.subplots(1, 2)
        for panel, (title, points, silhouette) in zip(axes, panels, strict=True):
            tail = "" if silhouette is None else f"\nsilhouette of the classes {silhouette:.2f}"
            panel.set_title(f"{title}{tail}")
            scatter_classes(panel, points, names, styles)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return {SENTENCES: png.getvalue()}


def _draw_usage(rows: Mapping[str, np.ndarray], *, title: str, unit: str, is_framed: bool = False) -> bytes:
    """Name to (N,) as bars, or where there are many names as a table of colours."""
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


def draw_differences(pictures: Mapping[str, Photo], differences: Mapping[str, Difference]) -> bytes:
    """Pictures, and where they differ.

    Args:
        pictures: Title to picture, of one size.
        differences: What is compared to how it differs; the PSNR is told of those that end in "gt".

    Returns:
        PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    maps = {}
    for name, difference in differences.items():
        psnr = f", {difference.psnr:.2f} dB" if name.endswith("gt") else ""
        maps[f"|{name}|\nmean {255 * difference.mean:.2f}{psnr}"] = difference.magnitude
    return draw_panels(
        {name: drawn(photo.pixels, is_picture=True) for name, photo in pictures.items()},
        {name: drawn(255 * magnitude) for name, magnitude in maps.items()},
        columns=3,
        label="difference, of 255",
        least_top=1.0,  # what is below one step of 8 bits stays black
    )


def _draw_expert_maps(explanation: Explanation, maps: np.ndarray) -> bytes:
    """What was seen, and where each expert changes the result."""
    seen = explanation.seen
    rows, columns = slice(seen.top, seen.top + seen.height), slice(seen.left, seen.left + seen.width)
    return draw_panels(
        {"input" if seen.is_whole else "middle of the input": drawn(explanation.picture.pixels[rows, columns], True)},
        {f"expert {index}\nmean {255 * one.mean():.3f}": drawn(255 * one) for index, one in enumerate(maps)},
        columns=min(4, math.ceil(math.sqrt(len(maps) + 1))),
        label="change, of 255",
        least_top=1e-6,
    )
