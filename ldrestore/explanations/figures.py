"""Figures of explanations as PNG files in memory: drawn without a display, the same bytes for the same numbers."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ldrestore.assets.sentences import OUTSIDE
from ldrestore.errors import MissingExtraError
from ldrestore.explanations.explanation import Explanation
from ldrestore.explanations.sentence_map import SentenceMap
from ldrestore.explanations.usage_report import UsageReport
from ldrestore.images.photo import to_8_bit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
WIDTH = 9.0
"""Of a figure, in inches."""
MAX_DRAWN = 720
"""Longest side of a picture inside a figure, in pixels."""
MAX_BAR_POOLS = 3
"""As many pools are drawn as bars; more, as a table of colours."""

_BAR, _CHOSEN, _QUIET = "#2a6f97", "#d55e00", "#8a8a8a"
_FILL, _GLOW = "Blues", "magma"
_CLASS_STYLES = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#000000", "v"),
    ("#e69f00", "P"),
    ("#56b4e9", "X"),
)
"""Colours of Okabe and Ito 2008, which most colour-blind people tell apart, each with a shape of its own."""


def check_drawing() -> None:
    """Tell before long work that matplotlib is missing.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingExtraError("matplotlib", "explain", "to draw figures") from None


def figures_of_explanation(explanation: Explanation) -> dict[str, bytes]:
    """All figures that there is something to draw of.

    Args:
        explanation: Of one picture.

    Returns:
        File name, such as "usage.png", to PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figures = {"differences.png": _draw_differences(explanation)}
    if explanation.estimate is not None:
        figures["estimate.png"] = _draw_ranking(explanation.estimate.ranked(), title="degradations that the model sees")
    if explanation.instruction is not None:
        ranked = sorted(explanation.instruction.probabilities.items(), key=lambda pair: -pair[1])
        figures["instruction.png"] = _draw_ranking(ranked, title="what the instruction is taken for")
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
        figures["routing.png"] = _draw_table(shares, title=title, unit=unit)
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
    panels = (
        ("before the head: vectors of the encoder", found.before, found.silhouette_before),
        ("after the head: its embeddings", found.after, found.silhouette_after),
    )
    with _figure(WIDTH, 5.6) as (figure, png):
        axes = figure.subplots(1, 2)
        for panel, (title, points, silhouette) in zip(axes, panels, strict=True):
            tail = "" if silhouette is None else f"\nsilhouette of the classes {silhouette:.2f}"
            panel.set_title(f"{title}{tail}")
            panel.set(xticks=[], yticks=[])
            for index, name in enumerate(classes):
                colour, marker = (_QUIET, ".") if name == OUTSIDE else _CLASS_STYLES[index % len(_CLASS_STYLES)]
                mine = points[[other == name for other in names]]
                label = name.replace("_", " ") if name != OUTSIDE else "outside: nothing that is known"
                panel.scatter(mine[:, 0], mine[:, 1], s=26, c=colour, marker=marker, label=label, linewidths=0)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return {"instructions.png": png.getvalue()}


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple["Figure", io.BytesIO]]:
    """A blank figure of a size in inches, and the file that it is written to when the block ends.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    check_drawing()
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    png = io.BytesIO()
    style = {"font.size": 9, "axes.titlesize": 9, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.style.context(["default", style]):  # not what a user's own settings say
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, png
        figure.savefig(png, format="png", metadata={"Software": None})


def _draw_ranking(ranked: Sequence[tuple[str, float]], *, title: str) -> bytes:
    """Names with probabilities, the highest on top."""
    names, values = [name.replace("_", " ") for name, _ in ranked], [value for _, value in ranked]
    with _figure(WIDTH * 0.7, 0.8 + 0.27 * len(names)) as (figure, png):
        axes = figure.subplots()
        axes.barh(names, values, color=_BAR, height=0.7)
        for place, value in enumerate(values):
            axes.text(value + 0.01, place, f"{value:.2f}", va="center", fontsize=8)
        axes.set(title=title, xlim=(0, 1.08), xlabel="probability", xticks=np.linspace(0, 1, 6))
        axes.invert_yaxis()
    return png.getvalue()


def _draw_usage(rows: Mapping[str, np.ndarray], *, title: str, unit: str, is_framed: bool = False) -> bytes:
    """Name to (N,) as bars, or where there are many names as a table of colours."""
    if len(rows) > MAX_BAR_POOLS and len({len(row) for row in rows.values()}) == 1:
        return _draw_table(rows, title=title, unit=unit, is_framed=is_framed)
    return _draw_bars(rows, title=title, unit=unit)


def _draw_bars(rows: Mapping[str, np.ndarray], *, title: str, unit: str) -> bytes:
    """Name to (N,) as one panel of bars each, side by side."""
    sizes = [max(len(row), 4) for row in rows.values()]
    with _figure(min(WIDTH, 2.0 + 0.45 * sum(sizes)), 2.9) as (figure, png):
        panels = figure.subplots(1, len(rows), sharey=True, squeeze=False, width_ratios=sizes)[0]
        for panel, (name, row) in zip(panels, rows.items(), strict=True):
            panel.bar(range(len(row)), row, color=_BAR, width=0.75)
            for place, value in enumerate(row):
                if value >= 0.005:  # a prompt that was not taken has no bar and needs no label
                    panel.text(place, value, f"{value:.2f}", ha="center", va="bottom", fontsize=7)
            panel.set(title=name, xlabel=unit, xticks=range(len(row)))
            panel.tick_params(axis="x", labelsize=8)
        panels[0].set(ylabel="weight", ylim=(0, 1.15 * max(0.01, *(float(row.max()) for row in rows.values()))))
        figure.suptitle(title, fontsize=10)
    return png.getvalue()


def _draw_table(rows: Mapping[str, np.ndarray], *, title: str, unit: str, is_framed: bool = False) -> bytes:
    """Name to (N,) as rows of coloured cells with their values; the highest of each row framed if asked for."""
    values = np.stack(list(rows.values()))  # (rows, N)
    num_rows, num_columns = values.shape
    with _figure(min(WIDTH, 2.6 + 0.75 * num_columns), 1.1 + 0.32 * num_rows) as (figure, png):
        axes = figure.subplots()
        cells = axes.imshow(values, cmap=_FILL, vmin=0, vmax=1, aspect="auto")
        axes.set(title=title, xlabel=unit, xticks=range(num_columns), yticks=range(num_rows))
        axes.set_yticklabels(rows)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            is_chosen = is_framed and column == values[row].argmax()
            text = {"color": "white" if value > 0.6 else "black", "weight": "bold" if is_chosen else "normal"}
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, **text)
            if is_chosen:
                _frame(axes, row, column)
        figure.colorbar(cells, ax=axes, fraction=0.05, pad=0.02)
    return png.getvalue()


def _frame(axes: "Axes", row: int, column: int) -> None:
    """Frame one cell of a table."""
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, edgecolor=_CHOSEN, linewidth=1.6, clip_on=False)
    )


def _draw_differences(explanation: Explanation) -> bytes:
    """The pictures, and where they differ."""
    pictures = {"input": explanation.picture, "restored": explanation.restored}
    if explanation.gt is not None:
        pictures["ground truth (gt)"] = explanation.gt
    maps = {}
    for name, difference in explanation.differences.items():
        psnr = f", {difference.psnr:.2f} dB" if name.endswith("gt") else ""
        maps[f"|{name}|\nmean {255 * difference.mean:.2f}{psnr}"] = difference.magnitude
    return _draw_panels(
        {name: _drawn(photo.pixels, is_picture=True) for name, photo in pictures.items()},
        {name: _drawn(255 * magnitude) for name, magnitude in maps.items()},
        columns=3,
        label="difference, of 255",
        least_top=1.0,  # what is below one step of 8 bits stays black
    )


def _draw_expert_maps(explanation: Explanation, maps: np.ndarray) -> bytes:
    """What was seen, and where each expert changes the result."""
    seen = explanation.seen
    rows, columns = slice(seen.top, seen.top + seen.height), slice(seen.left, seen.left + seen.width)
    return _draw_panels(
        {"input" if seen.is_whole else "middle of the input": _drawn(explanation.picture.pixels[rows, columns], True)},
        {f"expert {index}\nmean {255 * one.mean():.3f}": _drawn(255 * one) for index, one in enumerate(maps)},
        columns=min(4, math.ceil(math.sqrt(len(maps) + 1))),
        label="change, of 255",
        least_top=1e-6,
    )


def _draw_panels(
    pictures: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    *,
    columns: int,
    label: str,
    least_top: float,
) -> bytes:
    """Pictures (h, w, 3) uint8, and maps (h, w) on one scale, which ends no lower than asked, in rows of panels."""
    height, width = next(iter(pictures.values())).shape[:2]
    count = len(pictures) + len(maps)
    num_rows = -(-count // columns)
    panel_height = 0.88 * WIDTH / columns * min(max(height / width, 0.35), 2.0)
    top = max(least_top, *(float(np.percentile(one, 99.5)) for one in maps.values()))
    with _figure(WIDTH, max(2.0, num_rows * (panel_height + 0.5))) as (figure, png):
        panels = list(figure.subplots(num_rows, columns, squeeze=False).flat)
        for panel in panels:
            panel.axis("off")
        for panel, (name, pixels) in zip(panels, pictures.items(), strict=False):
            panel.imshow(pixels, interpolation="nearest")
            panel.set_title(name)
        glow: Any = None
        for panel, (name, values) in zip(panels[len(pictures) :], maps.items(), strict=False):
            glow = panel.imshow(values, cmap=_GLOW, vmin=0, vmax=top, interpolation="nearest")
            panel.set_title(name)
        if height > 2 * width:  # titles are wider than such pictures, and stay inside the panel
            for panel in panels:
                panel.set_adjustable("datalim")
        figure.colorbar(glow, ax=panels, fraction=0.03, pad=0.02, label=label, extend="max")
    return png.getvalue()


def _drawn(values: np.ndarray, is_picture: bool = False) -> np.ndarray:
    """Values no larger than a figure shows; of a picture, (h, w, 3) uint8."""
    height, width = values.shape[:2]
    scale = MAX_DRAWN / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    if not is_picture:
        return values
    eight_bit = to_8_bit(values.reshape(*values.shape[:2], -1))  # OpenCV drops the axis of a grey picture
    return np.broadcast_to(eight_bit, (*eight_bit.shape[:2], 3))
