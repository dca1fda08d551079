"""What figures are drawn with: a blank figure, bars, tables of colours, panels of pictures and maps."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ldrestore.errors import MissingExtraError
from ldrestore.images.bit_depth import to_8_bit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
WIDTH = 9.0
"""Of a figure, in inches."""
MAX_DRAWN = 720
"""Longest side of a picture inside a figure, in pixels."""

BAR, QUIET = "#2a6f97", "#8a8a8a"
"""Colours of bars, and of what is not to catch the eye."""

_CLASS_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
"""Of Okabe and Ito 2008, which most colour-blind people tell apart."""
_CLASS_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_CHOSEN = "#d55e00"
_FILL, _GLOW = "Blues", "magma"


def check_drawing() -> None:
    """Tell before long work that matplotlib is missing.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise MissingExtraError("matplotlib", "explain", "to draw figures") from None


@contextmanager
def blank_figure(width: float, height: float) -> Iterator[tuple["Figure", io.BytesIO]]:
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


def draw_ranking(ranked: Sequence[tuple[str, float]], *, title: str) -> bytes:
    """Names with probabilities, the highest on top.

    Args:
        ranked: Names, and values in [0, 1].
        title: Of the figure.

    Returns:
        PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    names, values = [name.replace("_", " ") for name, _ in ranked], [value for _, value in ranked]
    with blank_figure(WIDTH * 0.7, 0.8 + 0.27 * len(names)) as (figure, png):
        axes = figure.subplots()
        axes.barh(names, values, color=BAR, height=0.7)
        for place, value in enumerate(values):
            axes.text(value + 0.01, place, f"{value:.2f}", va="center", fontsize=8)
        axes.set(title=title, xlim=(0, 1.08), xlabel="probability", xticks=np.linspace(0, 1, 6))
        axes.invert_yaxis()
    return png.getvalue()


def draw_table(
    rows: Mapping[str, np.ndarray],
    *,
    title: str,
    unit: str,
    columns: Sequence[str] = (),
    is_framed: bool = False,
) -> bytes:
    """Rows of coloured cells with their values.

    Args:
        rows: Name to (N,), in [0, 1].
        title: Of the figure.
        unit: What the columns are.
        columns: Their N names, written upright; without any they are numbered.
        is_framed: Whether the highest of each row is framed.

    Returns:
        PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    values = np.stack(list(rows.values()))  # (rows, N)
    num_rows, num_columns = values.shape
    height = 1.1 + 0.32 * num_rows + 0.07 * max(map(len, columns), default=0)
    with blank_figure(min(WIDTH, 2.6 + 0.75 * num_columns), height) as (figure, png):
        axes = figure.subplots()
        cells = axes.imshow(values, cmap=_FILL, vmin=0, vmax=1, aspect="auto")
        axes.set(title=title, xlabel=unit, xticks=range(num_columns), yticks=range(num_rows))
        axes.set_yticklabels(rows)
        if columns:
            axes.set_xticklabels(columns, rotation=90)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            is_chosen = is_framed and column == values[row].argmax()
            colour, weight = "white" if value > 0.6 else "black", "bold" if is_chosen else "normal"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour, weight=weight)
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


def draw_panels(
    pictures: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    *,
    columns: int,
    label: str,
    least_top: float,
) -> bytes:
    """Pictures, and maps on one scale, in rows of panels.

    Args:
        pictures: Title to (h, w, 3) uint8; at least one.
        maps: Title to (h, w); at least one.
        columns: Panels a row.
        label: Of the scale.
        least_top: Where the scale ends at least.

    Returns:
        PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    height, width = next(iter(pictures.values())).shape[:2]
    count = len(pictures) + len(maps)
    num_rows = -(-count // columns)
    panel_height = 0.88 * WIDTH / columns * min(max(height / width, 0.35), 2.0)
    top = max(least_top, *(float(np.percentile(one, 99.5)) for one in maps.values()))
    with blank_figure(WIDTH, max(2.0, num_rows * (panel_height + 0.5))) as (figure, png):
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


def style_of(index: int) -> tuple[str, str]:
    """Colour and shape of the points of a class; the first 49 classes have different ones."""
    row, column = divmod(index, len(_CLASS_COLOURS))
    return _CLASS_COLOURS[column], _CLASS_MARKERS[(column + row) % len(_CLASS_MARKERS)]


def draw_strip(pictures: Mapping[str, np.ndarray], *, columns: int, title: str) -> bytes:
    """Pictures in rows of panels.

    Args:
        pictures: Title to (h, w, 3) uint8, of one size; at least one.
        columns: Panels a row.
        title: Of the figure.

    Returns:
        PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    height, width = next(iter(pictures.values())).shape[:2]
    columns = min(columns, len(pictures))
    num_rows = -(-len(pictures) // columns)
    panel_height = WIDTH / columns * min(max(height / width, 0.35), 2.0)
    with blank_figure(WIDTH, 0.4 + num_rows * (panel_height + 0.4)) as (figure, png):
        panels = list(figure.subplots(num_rows, columns, squeeze=False).flat)
        for panel in panels:
            panel.axis("off")
        for panel, (name, pixels) in zip(panels, pictures.items(), strict=False):
            panel.imshow(pixels, interpolation="nearest")
            panel.set_title(name)
            if height > 2 * width:  # titles are wider than such pictures, and stay inside the panel
                panel.set_adjustable("datalim")
        figure.suptitle(title, fontsize=10)
    return png.getvalue()


def scatter_classes(
    axes: "Axes", points: np.ndarray, names: Sequence[str], styles: Mapping[str, tuple[str, str, str]]
) -> None:
    """Draw points in the plane, class by class.

    Args:
        axes: Receives them, without ticks.
        points: (P, 2).
        names: P, the class of each point.
        styles: Class to label, colour and shape, in the order of the legend.
    """
    axes.set(xticks=[], yticks=[])
    for name, (label, colour, marker) in styles.items():
        mine = points[[other == name for other in names]]
        axes.scatter(mine[:, 0], mine[:, 1], s=26, c=colour, marker=marker, label=label, linewidths=0)


def drawn(values: np.ndarray, is_picture: bool = False) -> np.ndarray:
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
