"""Tables that several studies show of restored pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ldrestore.evaluation.results import ComparisonRow, MeanRow, Results
from ldrestore.evaluation.suites import SuiteDataset
from ldrestore.evaluation.tables import interval_text, markdown, protocol_line, statistics_note

Paired = Sequence[tuple[str, str, str]]
"""Title, first and second contestant of each column of differences."""


def squares_of(recipes: Mapping[str, str], *, source: str, crop: int) -> tuple[SuiteDataset, ...]:
    """Datasets of squares from the centre of one set's clean pictures.

    Args:
        recipes: Name of a dataset to what is done to it.
        source: The set.
        crop: Side in pixels.
    """
    return tuple(SuiteDataset(name=name, set=source, recipe=recipe, crop=crop) for name, recipe in recipes.items())


def table_in_short(results: Results, contestants: Sequence[str], *, datasets: Sequence[str] = ()) -> str:
    """Means of all metrics without intervals: a line a dataset, a column a contestant, the metrics in one cell.

    Args:
        results: With means.
        contestants: Columns.
        datasets: Lines, averages too; all for none.
    """
    means = {(row.dataset, row.contestant, row.metric): row for row in results.means}
    counts = {row.name: str(row.num_pictures) for row in results.datasets}
    lines = []
    for dataset in datasets or [*counts, *results.averages]:
        cells = []
        for name in contestants:
            found = [(means.get((dataset, name, metric.name)), metric.digits) for metric in results.metrics]
            cells.append(" / ".join("–" if row is None else f"{row.mean:.{digits}f}" for row, digits in found))
        lines.append((dataset, counts.get(dataset, ""), *cells))
    metrics = " / ".join(f"{row.name} {'↓' if row.lower_is_better else '↑'}" for row in results.metrics)
    return markdown((metrics, "pictures", *contestants), lines) if lines else ""


def table_by_dataset(results: Results, contestants: Sequence[str]) -> str:
    """Means of all metrics: a line a dataset, a column a contestant and metric; a dash where nothing was scored.

    Args:
        results: With means.
        contestants: Columns, as far as they have figures.
    """
    means = {(row.dataset, row.contestant, row.metric): row for row in results.means}
    columns = [(name, metric) for metric in results.metrics for name in contestants]
    columns = [(name, metric) for name, metric in columns if any(key[1:] == (name, metric.name) for key in means)]
    counts = {row.name: str(row.num_pictures) for row in results.datasets}
    lines = []
    for dataset in [*counts, *results.averages]:
        cells = [_mean(means.get((dataset, name, metric.name)), metric.digits) for name, metric in columns]
        if any(cell != "–" for cell in cells):
            lines.append((dataset, counts.get(dataset, ""), *cells))
    heads = (f"{name}, {metric.name} {'↓' if metric.lower_is_better else '↑'}" for name, metric in columns)
    return markdown(("", "pictures", *heads), lines) if lines else ""


def table_of_differences(results: Results, metric: str, columns: Paired) -> str:
    """Mean of second - first on the same pictures, with its interval, bold where the verdict is not "tied".

    Args:
        results: With comparisons.
        metric: Name of the one that is compared.
        columns: Which contestants.
    """
    rows = {(row.dataset, row.first, row.second): row for row in results.comparisons if row.metric == metric}
    digits = next((row.digits for row in results.metrics if row.name == metric), 2)
    lines = []
    for dataset in results.datasets:
        cells = [_difference(rows, dataset.name, first, second, digits) for _, first, second in columns]
        if any(cell != "–" for cell in cells):
            lines.append((dataset.name, *cells))
    return markdown(("", *(title for title, _, _ in columns)), lines) if lines else ""


def origin_of(results: Results) -> str:
    """Protocol, pictures, machines and notes, in words."""
    places = []
    for environment in results.environments.values():
        packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items() if number)
        places.append(f"- {environment.get('device', 'cpu')}, {environment['threads']} threads; {packages}")
    notes = [f"- {note}" for note in results.notes]
    statistics = (
        "In brackets 95 % bootstrap intervals over scenes; differences are paired, and bold where a test shows them "
        f"after Holm's correction over the datasets, which few pictures cannot.{statistics_note(results)}"
    )
    parts = (f"{results.summary} {protocol_line(results)} {statistics}", "\n".join(places), "\n".join(notes))
    return "\n\n".join(part for part in parts if part)


def joined(title: str, parts: Mapping[str, str]) -> str:
    """A page of headed parts; those that are empty are left out."""
    return "\n\n".join([f"# {title}", *(f"## {head}\n\n{text}" for head, text in parts.items() if text)]) + "\n"


def _mean(row: MeanRow | None, digits: int) -> str:
    """A mean and its interval."""
    if row is None:
        return "–"
    mean = f"{row.mean:.{digits}f}{'' if row.cap is None else ' (capped)'}"
    return f"{mean}{interval_text(row, f'.{digits}f')}"


def _difference(
    rows: Mapping[tuple[str, str, str], ComparisonRow], dataset: str, first: str, second: str, digits: int
) -> str:
    """A difference, whichever way round the results hold it."""
    row, turned = rows.get((dataset, first, second)), rows.get((dataset, second, first))
    if row is None and turned is not None:
        row = _turned(turned)
    if row is None:
        return "–"
    mark = "" if row.verdict == "tied" else "**"
    return f"{mark}{row.difference:+.{digits}f}{mark}{interval_text(row, f'+.{digits}f')}"


def _turned(row: ComparisonRow) -> ComparisonRow:
    """First - second in place of second - first."""
    low, high = (None if end is None else -end for end in (row.high, row.low))
    return replace(row, difference=-row.difference, low=low, high=high)
