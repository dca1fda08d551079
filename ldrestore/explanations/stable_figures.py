"""Figures of what models of the stable track do: probabilities, sampling, prompts and texts, as PNG in memory."""

import math
from collections.abc import Mapping

from ldrestore.explanations.drawing import (
    WIDTH,
    blank_figure,
    draw_ranking,
    draw_strip,
    draw_table,
    drawn,
    scatter_classes,
    style_of,
)
from ldrestore.explanations.figures import draw_differences
from ldrestore.explanations.point_map import PointMap
from ldrestore.explanations.prompt_maps import TEXTS, WORDS, PromptMaps
from ldrestore.explanations.stable_explanation import StableExplanation, StableReport
from ldrestore.images.photo import Photo

MAX_TABLE_PICTURES = 30
"""Of more pictures the mean probabilities are drawn."""
MAP_COLUMNS = 4
MAX_NAME = 32
"""Letters of a picture's name in a figure."""

_TEXT_TITLES = {
    WORDS: "textual prompts: $E_{txt}(T)$, word by word",
    TEXTS: r"texts of the pictures: $E_{txt}(\{e_{cm}, T\})$",
}


def figures_of_stable(explanation: StableExplanation) -> dict[str, bytes]:
    """All figures of one picture that there is something to draw of.

    Args:
        explanation: See `explain_stable`.

    Returns:
        File name, such as "sampling.png", to PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    source = "given" if explanation.is_given else "that the model sees"
    pictures = {"input": explanation.picture}
    if explanation.gt is not None:
        pictures["ground truth (gt)"] = explanation.gt
    if explanation.unrefined is not None:
        pictures["unrefined"] = explanation.unrefined
    pictures["restored"] = explanation.restored
    return {
        "estimate.png": draw_ranking(explanation.estimate.ranked(), title=f"degradations {source}"),
        "sampling.png": _draw_sampling(explanation),
        **_figures_of_prompts(explanation.prompts),
        "differences.png": draw_differences(pictures, explanation.differences),
    }


def figures_of_stable_report(report: StableReport) -> dict[str, bytes]:
    """The figures of many pictures.

    Args:
        report: Of at least one picture.

    Returns:
        File name to PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    count = len(report.pictures)
    if count > MAX_TABLE_PICTURES:
        mean = zip(report.names, report.probabilities.mean(axis=0).tolist(), strict=True)
        ranked = sorted(mean, key=lambda pair: -pair[1])
        estimate = draw_ranking(ranked, title=f"degradations that the model sees, mean over {count} pictures")
    else:
        rows = {
            f"{index}: {_readable(name)}": row
            for index, (name, row) in enumerate(zip(report.pictures, report.probabilities, strict=True), start=1)
        }
        columns = [name.replace("_", " ") for name in report.names]
        title = "probability of each degradation, the highest framed"
        estimate = draw_table(rows, title=title, unit="", columns=columns, is_framed=True)
    return {"estimate.png": estimate, **_figures_of_prompts(report.prompts)}


def strip_of(explanation: StableExplanation) -> dict[str, Photo]:
    """The pictures of the strip by their titles: input, estimates, results, and the ground truth where there is one."""
    pictures = {"input": explanation.picture}
    for one in explanation.estimates:
        pictures[f"step {one.step} of {explanation.num_steps}, t = {one.timestep:g}"] = one.picture
    if explanation.unrefined is not None:
        pictures["decoded without refiner"] = explanation.unrefined
    pictures["restored" if explanation.unrefined is None else "restored: with refiner"] = explanation.restored
    if explanation.gt is not None:
        pictures["ground truth (gt)"] = explanation.gt
    return pictures


def _draw_sampling(explanation: StableExplanation) -> bytes:
    """The strip of the sampling."""
    pictures = {title: drawn(photo.pixels, is_picture=True) for title, photo in strip_of(explanation).items()}
    title = "the sampling: what the model takes the picture for, $x_0$, on the way"
    count = len(pictures)
    return draw_strip(pictures, columns=count if count <= MAP_COLUMNS else math.ceil(count / 2), title=title)


def _figures_of_prompts(prompts: PromptMaps) -> dict[str, bytes]:
    """Maps of the visual prompts and of the texts, as far as there are any."""
    figures = {}
    if prompts.visual:
        figures["visual_prompts.png"] = _draw_maps(prompts.visual, title="t-SNE of the visual prompts")
    if prompts.text:
        maps = {_TEXT_TITLES[name]: found for name, found in prompts.text.items()}
        figures["text_embeddings.png"] = _draw_maps(maps, title="t-SNE of what the text encoder puts out")
    return figures


def _draw_maps(maps: Mapping[str, PointMap], *, title: str) -> bytes:
    """Points of each map in a panel of its own, one legend for all."""
    columns = min(len(maps), MAP_COLUMNS)
    num_rows = -(-len(maps) // columns)
    classes = next(iter(maps.values())).classes
    styles = {name: (name.replace("_", " "), *style_of(index)) for index, name in enumerate(classes)}
    legend_height = 0.5 + 0.22 * -(-len(classes) // MAP_COLUMNS)
    width = WIDTH * (0.6 if columns == 1 else 1)
    with blank_figure(width, legend_height + num_rows * (min(4.4, width / columns) + 0.4)) as (figure, png):
        panels = list(figure.subplots(num_rows, columns, squeeze=False).flat)
        for panel in panels[len(maps) :]:
            panel.axis("off")
        for panel, (name, found) in zip(panels, maps.items(), strict=False):
            tail = "" if found.silhouette is None else f"\nsilhouette {found.silhouette:.2f}"
            panel.set_title(f"{name}{tail}")
            scatter_classes(panel, found.points, found.labels, styles)
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=MAP_COLUMNS, frameon=False)
        figure.suptitle(title, fontsize=10)
    return png.getvalue()


def _readable(name: str) -> str:
    """A picture's name, its end where it is long, without signs that matplotlib reads as formulas."""
    short = name if len(name) <= MAX_NAME else f"…{name[-MAX_NAME:]}"
    return short.replace("$", r"\$")
