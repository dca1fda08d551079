"""Tables of one model for its card and the docs: a line a dataset, beside the input and the classical peers."""

from collections import Counter
from collections.abc import Sequence

from ldrestore.evaluation.contestants import INPUT
from ldrestore.evaluation.reliability import table_of_reliability
from ldrestore.evaluation.results import ComparisonRow, MeanRow, MetricRow, Results
from ldrestore.evaluation.tables import cost_table, interval_text, markdown, protocol_line, statistics_note


def card_tables(results: Results, model: str, *, heading: str = "###") -> str:
    """Everything that a card shows of a model's figures.

    Args:
        results: With means and comparisons, of a suite that the model took part in.
        model: Name of the contestant.
        heading: What headings begin with.

    Returns:
        Markdown.
    """
    parts = [f"{protocol_line(results)} {sizes_line(results)}"]
    for metric in results.metrics:
        table = table_of_model(results, model, metric)
        if table:
            parts.append(f"{heading} {metric.name}\n\n{table}")
    estimates = [table for table in (table_of_estimates(results, model), table_of_reliability(results, model)) if table]
    if estimates:
        parts.append("\n\n".join([f"{heading} What it sees", *estimates]))
    if results.costs:
        parts.append(f"{heading} Cost\n\n{cost_table(results.costs)}")
    if results.notes:
        parts.append(f"{heading} To be known\n\n" + "\n".join(f"- {note}" for note in results.notes))
    return "\n\n".join(parts) + "\n"


def table_of_model(results: Results, model: str, metric: MetricRow) -> str:
    """One metric of one model: a line a dataset, with the input, the gain over it, and every other contestant.

    Returns:
        Markdown; empty where the model has no figure of the metric.
    """
    means = {(row.contestant, row.dataset): row for row in results.means if row.metric == metric.name}
    against = {
        row.dataset: row
        for row in results.comparisons
        if (row.metric, row.first, row.second) == (metric.name, INPUT, model)
    }
    others = [row.name for row in results.contestants if row.name not in (INPUT, model)]
    lines = []
    for dataset in [*(row.name for row in results.datasets), *results.averages]:
        ours = means.get((model, dataset))
        if ours is None:
            continue
        rivals = [_rival(means[name, dataset], ours, metric) for name in others if (name, dataset) in means]
        lines.append(
            (
                dataset,
                _figure(means.get((INPUT, dataset)), metric),
                f"**{_figure(ours, metric)}**",
                *_gain_cells(against.get(dataset), metric),
                "; ".join(rivals) or "–",
            )
        )
    arrow = "↓" if metric.lower_is_better else "↑"
    columns = ("", "input", f"{model} {arrow}", "against the input", "worst picture", "others")
    return markdown(columns, lines) if lines else ""


def table_of_gains(results: Results, metric: MetricRow) -> str:
    """One metric against the input: a line a contestant, a column a dataset, each with the worst picture's.

    Returns:
        Markdown; empty where the input took no part.
    """
    against = {
        (row.second, row.dataset): row for row in results.comparisons if (row.metric, row.first) == (metric.name, INPUT)
    }
    names = [row.name for row in results.contestants if any(key[0] == row.name for key in against)]
    columns = [row.name for row in results.datasets if any(key[1] == row.name for key in against)]
    lines = []
    for name in names:
        cells = (_gain_cells(against.get((name, column)), metric) for column in columns)
        lines.append((name, *(f"{gain}; at worst {worst}" if gain != "–" else gain for gain, worst in cells)))
    return markdown((f"{metric.name} against the input", *columns), lines) if lines else ""


def table_of_estimates(results: Results, model: str) -> str:
    """How often the most probable name of a model's estimate is the right one, and what it says instead.

    Of datasets whose damage the model has a name for; severities of one damage are counted together.

    Returns:
        Markdown; empty for a model that estimates nothing.
    """
    counts: dict[str, Counter[str]] = {}
    names = {name for row in results.estimates if row.contestant == model for name in row.counts}
    for row in results.estimates:
        if row.contestant == model and row.task.partition("(")[0] in names:
            counts.setdefault(row.task.partition("(")[0], Counter()).update(row.counts)
    if not counts:
        return ""
    lines = []
    for task, found in counts.items():
        missed = [(name, count) for name, count in found.most_common() if name != task][:3]
        instead = ", ".join(f"{name} {_percent(count, found.total())}" for name, count in missed)
        lines.append((task, str(found.total()), _percent(found[task], found.total()), instead or "–"))
    right, total = sum(found[task] for task, found in counts.items()), sum(map(Counter.total, counts.values()))
    lines.append(("all", str(total), f"**{_percent(right, total)}**", ""))
    return markdown(("damage", "pictures", "named right", "named instead"), lines)


def sizes_line(results: Results) -> str:
    """How many pictures the figures are of, and what they are."""
    by_title: dict[str, int] = {}
    for row in results.datasets:
        by_title[row.title] = max(by_title.get(row.title, 0), row.num_pictures)
    sets = ", ".join(f"{title}: {count}" for title, count in by_title.items())
    return (
        f'Pictures: {sets}. In brackets 95 % bootstrap intervals over scenes; a gain is "tied" or "worse" where '
        f"a paired test shows no better result.{statistics_note(results)}"
    )


def worst_pictures(results: Results, model: str, metric: str = "psnr") -> dict[str, str]:
    """Dataset to the picture on which a model did worst against the input."""
    return {
        row.dataset: row.worst_picture
        for row in results.comparisons
        if (row.metric, row.first, row.second) == (metric, INPUT, model)
    }


def _rival(row: MeanRow, ours: MeanRow, metric: MetricRow) -> str:
    """Another contestant's figure; with its number of pictures where that is another."""
    count = "" if row.num_pictures == ours.num_pictures else f" on {row.num_pictures} pictures"
    return f"{row.contestant} {_figure(row, metric)}{count}"


def _gain_cells(row: ComparisonRow | None, metric: MetricRow) -> Sequence[str]:
    """Mean gain with its interval and verdict, and that of the worst picture."""
    if row is None:
        return "–", "–"
    digits = metric.digits
    interval = interval_text(row, f"+.{digits}f")
    words = {"second": "", "first": ", worse", "tied": ", tied"}
    return f"{row.difference:+.{digits}f}{interval}{words[row.verdict]}", f"{row.worst_difference:+.{digits}f}"


def _figure(row: MeanRow | None, metric: MetricRow) -> str:
    """A mean with its interval."""
    if row is None:
        return "–"
    mean = f"{row.mean:.{metric.digits}f}{'' if row.cap is None else ' (capped)'}"
    return f"{mean}{interval_text(row, f'.{metric.digits}f')}"


def _percent(count: int, total: int) -> str:
    """A share."""
    return f"{100 * count / total:.0f} %"
