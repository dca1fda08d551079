"""Whether a model's probabilities mean what they say: of all that it gives 0.8, four fifths should be there.

A reliability diagram (Guo et al. 2017, https://arxiv.org/abs/1706.04599), each name of each estimate being one
statement: this damage is there, with such a probability.
"""

from collections.abc import Iterator, Sequence
from html import escape

from ldrestore.evaluation.results import ReliabilityRow, Results
from ldrestore.evaluation.tables import markdown

NUM_BINS = 10
"""Of equal width over [0, 1]."""

_SIDE = 300
"""Of the diagram's square, in pixels of the drawing."""
_MARGIN = 46


def reliability_rows(results: Results) -> Iterator[ReliabilityRow]:
    """How often what each contestant sees is there, by the probability that it gives.

    Of datasets all of whose damage the contestant has names for; a mixture has several.

    Args:
        results: With outputs, some of which carry estimates.

    Yields:
        The bins that are not empty, a contestant's together, lowest first; none of one that estimates nothing.
    """
    tasks = {row.name: _names_of(row.task) for row in results.datasets}
    for contestant in results.contestants:
        bins: dict[int, list[tuple[float, bool]]] = {}
        for row in results.outputs:
            names = tasks[row.dataset]
            if row.contestant == contestant.name and row.degradations and names <= set(row.degradations):
                for name, probability in row.degradations.items():
                    index = min(int(probability * NUM_BINS), NUM_BINS - 1)
                    bins.setdefault(index, []).append((probability, name in names))
        for index, statements in sorted(bins.items()):
            yield ReliabilityRow(
                contestant=contestant.name,
                low=index / NUM_BINS,
                high=(index + 1) / NUM_BINS,
                count=len(statements),
                probability=sum(probability for probability, _ in statements) / len(statements),
                share=sum(is_there for _, is_there in statements) / len(statements),
            )


def reliability_of(results: Results, model: str) -> tuple[ReliabilityRow, ...]:
    """The bins of one contestant, lowest first; see `reliability_rows`."""
    return tuple(row for row in results.reliability if row.contestant == model)


def calibration_error(bins: Sequence[ReliabilityRow]) -> float:
    """Expected calibration error (Guo et al. 2017, Eq. 3): mean distance of share and probability, by count.

    Args:
        bins: At least one.

    Returns:
        In [0, 1].
    """
    return sum(part.count * abs(part.share - part.probability) for part in bins) / sum(part.count for part in bins)


def table_of_reliability(results: Results, model: str) -> str:
    """A line a bin, and the calibration error beneath; Markdown, empty for a model that estimates nothing."""
    bins = reliability_of(results, model)
    if not bins:
        return ""
    lines = [
        (f"{part.low:.1f} to {part.high:.1f}", str(part.count), f"{part.probability:.3f}", f"{part.share:.3f}")
        for part in bins
    ]
    table = markdown(("probability", "statements", "mean probability", "share that was there"), lines)
    return f"{table}\n\nExpected calibration error: {calibration_error(bins):.4f}."


def reliability_diagram(bins: Sequence[ReliabilityRow], *, title: str) -> str:
    """The bins as a drawing: share against probability; on the diagonal a model is believed rightly.

    Args:
        bins: See `reliability_of`.
        title: Short; what the drawing is about.

    Returns:
        An SVG document, which follows the reader's light or dark scheme.
    """
    points = [(_MARGIN + part.probability * _SIDE, _MARGIN + (1 - part.share) * _SIDE) for part in bins]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{part.probability:.3f} given, '
        f"{part.share:.3f} there, {part.count} statements</title></circle>"
        for part, (x, y) in zip(bins, points, strict=True)
    )
    low, high = _MARGIN, _MARGIN + _SIDE
    ticks = "".join(
        f'<text x="{low + step / 4 * _SIDE:.0f}" y="{high + 18}" text-anchor="middle">{step / 4:g}</text>'
        f'<text x="{low - 8}" y="{high - step / 4 * _SIDE + 4:.0f}" text-anchor="end">{step / 4:g}</text>'
        for step in range(5)
    )
    size = _SIDE + 2 * _MARGIN
    title = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" role="img" aria-label="{title}">'
        "<style>text{font:12px sans-serif;fill:#444}.frame{fill:none;stroke:#999}.ideal{stroke:#999;"
        "stroke-dasharray:4}.line{fill:none;stroke:#1f6fb2;stroke-width:2}.dot{fill:#1f6fb2}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}.line{stroke:#6db6f2}.dot{fill:#6db6f2}}</style>"
        f'<text x="{size / 2:.0f}" y="24" text-anchor="middle">{title}</text>'
        f'<rect class="frame" x="{low}" y="{low}" width="{_SIDE}" height="{_SIDE}"/>'
        f'<line class="ideal" x1="{low}" y1="{high}" x2="{high}" y2="{low}"/>'
        f'<polyline class="line" points="{line}"/>{dots}{ticks}'
        f'<text x="{size / 2:.0f}" y="{high + 36}" text-anchor="middle">probability given</text>'
        f'<text x="14" y="{size / 2:.0f}" text-anchor="middle" transform="rotate(-90 14 {size / 2:.0f})">'
        "share that was there</text></svg>\n"
    )


def _names_of(task: str) -> frozenset[str]:
    """The names in a recipe, such as rain and haze in "rain+haze(strength=0.4)"."""
    return frozenset(part.partition("(")[0].strip() for part in task.split("+"))
