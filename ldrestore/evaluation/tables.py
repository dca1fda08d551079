"""The third step's tables: Markdown to read, CSV to compute with."""

import csv
import io
from collections.abc import Sequence

from ldrestore.evaluation.paired_statistics import LEVEL
from ldrestore.evaluation.published_tables import PublishedTable, find_published, markdown_of
from ldrestore.evaluation.results import PLAIN_BOOTSTRAP, ComparisonRow, CostRow, MeanRow, MetricRow, Results
from ldrestore.metrics.ssim import SsimWindow

_SHORT_PROTOCOL = (
    "colour",
    "luma_rounding",
    "border",
    "multiple",
    "rounding",
    "data_range",
    "ssim_window",
    "ssim_channels",
    "psnr_mean",
    "psnr_cap",
    "gt_mean",
    "noise",
    "jpeg",
    "lpips",
    "niqe",
    "split",
    "source",
)


def markdown_report(results: Results) -> str:
    """`table.md`: protocol, means with intervals, verdicts, cost, what failed and what is to be known."""
    parts = [
        f"# {results.suite}\n\n{results.summary}",
        _protocol_part(results),
        *(_metric_part(results, metric) for metric in results.metrics if metric.unavailable is None),
        *(_printed_part(find_published(name)) for name in results.published),
        _cost_part(results.costs),
        _list_part("Unavailable", [f"{row.name}: {row.unavailable}" for row in results.metrics if row.unavailable]),
        _list_part("Failed", failure_lines(results)),
        _list_part("To be known", list(results.notes)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def csv_report(results: Results) -> str:
    """`results.csv`: one line a score, and one a failure."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("contestant", "dataset", "picture", "seed", "metric", "value", "protocol", "seconds", "failure"))
    protocol = results.protocol["name"]
    for row in results.outputs:
        names = (row.contestant, row.dataset, row.picture, "" if row.seed is None else row.seed)
        seconds = "" if row.seconds is None else f"{row.seconds:.4f}"
        for metric, value in row.scores.items():
            writer.writerow((*names, metric, repr(value), protocol, seconds, ""))
        if row.failure is not None:
            writer.writerow((*names, "", "", protocol, seconds, row.failure))
    for each in results.set_scores:
        names = (each.contestant, each.dataset, "", "" if each.seed is None else each.seed)
        for metric, value in each.scores.items():
            writer.writerow((*names, metric, repr(value), protocol, "", ""))
    return stream.getvalue()


def table_of_means(results: Results, metric: MetricRow, *, has_intervals: bool = True) -> str:
    """One metric as Markdown: a row a contestant, a column a dataset or average, the best of each column in bold.

    A mean of fewer pictures than the dataset has says so, and one of fewer than another contestant's is never the best.
    """
    columns, lines = mean_cells(results, metric, has_intervals=has_intervals, best_mark="**")
    return markdown(columns, lines)


def mean_cells(
    results: Results, metric: MetricRow, *, has_intervals: bool = False, best_mark: str = ""
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of a metric's means, as text.

    Args:
        results: With means.
        metric: One of theirs.
        has_intervals: Whether intervals stand behind the means.
        best_mark: Put on both sides of the best mean of each column.
    """
    means = {(row.contestant, row.dataset): row for row in results.means if row.metric == metric.name}
    columns = [*(row.name for row in results.datasets), *results.averages]
    columns = [column for column in columns if any((each.name, column) in means for each in results.contestants)]
    best = {column: _best([row for key, row in means.items() if key[1] == column], metric) for column in columns}
    counts = {row.name: row.num_pictures for row in results.datasets}
    counts |= {name: sum(counts.get(part, 0) for part in parts) for name, parts in results.averages.items()}
    lines = []
    for contestant in results.contestants:
        cells = []
        for column in columns:
            row = means.get((contestant.name, column))
            mark = best_mark if row in best[column] else ""
            cells.append(_mean_cell(row, metric, mark=mark, has_intervals=has_intervals, count=counts[column]))
        if any((contestant.name, column) in means for column in columns):
            lines.append((contestant.name, *cells))
    return (f"{metric.name} {'↓' if metric.lower_is_better else '↑'}", *columns), lines


def verdicts_of(results: Results, metric: MetricRow) -> str:
    """One metric: for every two contestants, how many datasets each is better on, and which are tied."""
    pairs: dict[tuple[str, str], list[ComparisonRow]] = {}
    for row in results.comparisons:
        if row.metric == metric.name:
            pairs.setdefault((row.first, row.second), []).append(row)
    lines = []
    for (first, second), rows in pairs.items():
        cells = [
            "; ".join(
                f"{row.dataset} {row.difference:+.{metric.digits}f}{interval_text(row, f'+.{metric.digits}f')}"
                for row in rows
                if row.verdict == verdict
            )
            for verdict in ("second", "tied", "first")
        ]
        lines.append((f"{second} against {first}", *(cell or "–" for cell in cells)))
    return markdown(("", "better", "tied", "worse"), lines) if lines else ""


def markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    head, *rows = (f"| {' | '.join(map(_cell, line))} |" for line in (columns, *lines))
    return "\n".join([head, "|" + "---|" * len(columns), *rows])


def _cell(text: str) -> str:
    """A cell that cannot end its column or its line."""
    return " ".join(text.replace("|", "/").split())


def cost_table(costs: Sequence[CostRow]) -> str:
    """Time, memory, parameters and multiplications of each contestant."""
    lines = [
        (
            row.contestant,
            f"{row.seconds_per_megapixel:.3g}",
            "–" if row.peak_gigabytes is None else f"{row.peak_gigabytes:.2f}",
            "–" if row.parameters is None else f"{row.parameters / 1e6:.2f}",
            "–" if row.gigamacs is None else f"{row.gigamacs:.3g}",
            f"{row.device}, {row.threads} threads",
        )
        for row in costs
    ]
    return markdown(("", "s a megapixel", "peak GB", "parameters, M", "GMACs at 256 x 256", "on"), lines)


def interval_text(row: MeanRow | ComparisonRow, form: str) -> str:
    """The interval of a row behind its figure; nothing where it has none.

    Args:
        row: A mean or a difference.
        form: Of both ends, such as ".2f".
    """
    return "" if row.low is None or row.high is None else f" [{row.low:{form}}, {row.high:{form}}]"


def statistics_note(results: Results) -> str:
    """A sentence on intervals and verdicts of earlier versions, with a space before it; nothing of present ones."""
    if results.statistics != PLAIN_BOOTSTRAP:
        return ""
    return " Both are of a plain bootstrap as it was computed before: too sure where scenes are few."


def protocol_line(results: Results) -> str:
    """What stands beside every figure: the protocol's name and the settings that change figures most."""
    protocol = results.protocol
    window = SsimWindow(**protocol["ssim_window"])
    return (
        f"Protocol {protocol['name']}: colour {protocol['colour']}, border {protocol['border']}, multiple "
        f"{protocol['multiple']}, rounding {protocol['rounding']}, "
        f"SSIM window {window.kind} {window.side}, {protocol['psnr_mean']}."
    )


def _protocol_part(results: Results) -> str:
    """Protocol and statistics, in words."""
    settings = "\n".join(
        f"- {name}: {results.protocol[name]}" for name in _SHORT_PROTOCOL if results.protocol.get(name) is not None
    )
    statistics = (
        "In brackets 95 % bootstrap intervals over scenes. Better and worse: paired differences on the same pictures, "
        f"clustered by scene, Holm-corrected over the datasets at {LEVEL:g}; everything else is tied."
    )
    return f"{protocol_line(results)}\n\n{settings}\n\n{statistics}"


def _metric_part(results: Results, metric: MetricRow) -> str:
    """One metric's tables, and the cap where it was reached."""
    parts = [f"## {metric.name}\n\n{table_of_means(results, metric)}", verdicts_of(results, metric)]
    capped = [row for row in results.means if row.metric == metric.name and row.cap is not None]
    if capped:
        parts.append(f"A picture counts at most {capped[0].cap:g} dB in the means marked with *.")
    return "\n\n".join(part for part in parts if part)


def _printed_part(table: PublishedTable) -> str:
    """A printed table, greyed, and never mixed with ours."""
    return (
        f"## As printed: {table.paper}, {table.label}\n\n"
        f'<span style="color:grey">\n\n{markdown_of(table)}\n\n</span>\n\n'
        f"Protocol as printed: {table.protocol}. Source: {table.source}."
    )


def _cost_part(costs: Sequence[CostRow]) -> str:
    """Cost, if it was measured."""
    return f"## Cost\n\n{cost_table(costs)}" if costs else ""


def _list_part(title: str, lines: Sequence[str]) -> str:
    """A list under a title, if there is anything to list."""
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


def failure_lines(results: Results) -> list[str]:
    """What failed, each reason once a contestant and dataset."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for row in results.failures:
        grouped.setdefault((row.contestant, row.dataset, str(row.failure)), []).append(row.picture)
    lines = []
    for (contestant, dataset, reason), pictures in grouped.items():
        more = f" and {len(pictures) - 1} more" if len(pictures) > 1 else ""
        lines.append(f"{contestant}, {dataset}: {pictures[0]}{more}: {reason}")
    return lines


def _best(rows: Sequence[MeanRow], metric: MetricRow) -> list[MeanRow]:
    """The best of a column, of those over the most pictures; several where they are equal."""
    most = max((row.num_pictures for row in rows), default=0)
    whole = [row for row in rows if row.num_pictures == most]
    best = (min if metric.lower_is_better else max)((row.mean for row in whole), default=None)
    return [row for row in whole if row.mean == best]


def _mean_cell(row: MeanRow | None, metric: MetricRow, *, mark: str, has_intervals: bool, count: int) -> str:
    """A mean, its interval, its spread over seeds, a star where the cap was reached, and how many pictures it lacks."""
    if row is None:
        return "–"
    digits = metric.digits
    mean = f"{row.mean:.{digits}f}{'' if row.cap is None else '*'}"
    text = f"{mark}{mean}{mark}"
    if has_intervals:
        text += interval_text(row, f".{digits}f")
    text += "" if row.spread is None else f" ± {row.spread:.{digits}f}"
    return text if row.num_pictures >= count else f"{text} ({row.num_pictures} of {count})"
