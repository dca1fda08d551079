"""What `report.html` shows, as plain values: every figure of the results once, and of each picture where to find it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ldrestore.evaluation.paired_statistics import LEVEL
from ldrestore.evaluation.published_tables import PublishedTable, find_published
from ldrestore.evaluation.report_pictures import outputs_by_picture, shown_key, shown_output
from ldrestore.evaluation.results import MetricRow, OutputRow, PictureRow, Results
from ldrestore.evaluation.summaries import cap_of, values_of
from ldrestore.evaluation.tables import protocol_line

_LEAST_DAMAGE = 0.05
"""Probability below which a kind of damage that a model named is not shown."""


def page_data(results: Results) -> dict[str, Any]:
    """All that the page shows, for JSON.

    Args:
        results: With means and comparisons.
    """
    return {
        "suite": results.suite,
        "summary": results.summary,
        "version": results.ldrestore,
        "protocol": _protocol(results),
        "metrics": [asdict(row) for row in results.metrics],
        "contestants": [{**asdict(row), "options": _in_words(row.options)} for row in results.contestants],
        "datasets": [asdict(row) for row in results.datasets],
        "averages": {name: list(parts) for name, parts in results.averages.items()},
        "means": _means(results),
        "comparisons": [asdict(row) for row in results.comparisons],
        "costs": [asdict(row) for row in results.costs],
        "seconds": _seconds(results),
        "pictures": _pictures(results),
        "published": [_printed(find_published(name)) for name in results.published],
        "failures": [_failure(row) for row in results.failures],
        "environments": [_in_words(row) for row in results.environments.values()],
        "notes": list(results.notes),
        "level": LEVEL,
    }


def _protocol(results: Results) -> dict[str, Any]:
    """Name, sentence and all settings that are known."""
    settings = {name: value for name, value in results.protocol.items() if value is not None and name != "name"}
    return {
        "name": str(results.protocol["name"]),
        "line": protocol_line(results),
        "cap": cap_of(results),
        "settings": _in_words(settings),
    }


def _in_words(values: Mapping[str, Any]) -> list[list[str]]:
    """Names and values of settings as text."""
    return [[str(name), _word(value)] for name, value in values.items()]


def _word(value: Any) -> str:
    """One setting as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_word(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value))
    return str(value)


def _means(results: Results) -> dict[str, dict[str, dict[str, Any]]]:
    """Metric to contestant to dataset or average to its row."""
    means: dict[str, dict[str, dict[str, Any]]] = {}
    for row in results.means:
        means.setdefault(row.metric, {}).setdefault(row.contestant, {})[row.dataset] = {
            "mean": row.mean,
            "low": row.low,
            "high": row.high,
            "spread": row.spread,
            "cap": row.cap,
            "pictures": row.num_pictures,
            "scenes": row.num_scenes,
        }
    return means


def _seconds(results: Results) -> dict[str, float]:
    """Contestant to the median of its seconds a megapixel while it restored."""
    sizes = {(row.dataset, row.name): row.width * row.height / 1e6 for row in results.pictures}
    found: dict[str, list[float]] = {}
    for row in results.outputs:
        if row.seconds is not None and (row.dataset, row.picture) in sizes:
            found.setdefault(row.contestant, []).append(row.seconds / sizes[row.dataset, row.picture])
    return {name: statistics.median(values) for name, values in found.items()}


def _pictures(results: Results) -> list[dict[str, Any]]:
    """One row a picture, with what each contestant made of it."""
    outputs = outputs_by_picture(results)
    values = _values(results)
    return [
        {
            "dataset": row.dataset,
            "name": row.name,
            "width": row.width,
            "height": row.height,
            "lq": shown_key(row.lq_sha256),
            "gt": None if row.gt_sha256 is None else shown_key(row.gt_sha256),
            "results": {
                contestant: _result(rows, results.metrics, values, row)
                for contestant, rows in outputs[row.dataset, row.name].items()
            },
        }
        for row in results.pictures
    ]


def _values(results: Results) -> dict[tuple[str, str, str], Mapping[str, float]]:
    """Contestant, dataset and metric to picture to value, as means count them."""
    return {
        (contestant.name, dataset.name, metric.name): values_of(results, contestant.name, dataset.name, metric.name)
        for contestant in results.contestants
        for dataset in results.datasets
        for metric in results.metrics
    }


def _result(
    rows: list[OutputRow],
    metrics: Sequence[MetricRow],
    values: Mapping[tuple[str, str, str], Mapping[str, float]],
    picture: PictureRow,
) -> dict[str, Any]:
    """What one contestant made of one picture: of several seeds the mean of the values, and the first one's picture."""
    shown = shown_output(rows)
    scores = {
        metric.name: value
        for metric in metrics
        if (value := values[rows[0].contestant, picture.dataset, metric.name].get(picture.name)) is not None
    }
    seconds = [row.seconds for row in rows if row.seconds is not None]
    damage = {} if shown is None or shown.degradations is None else shown.degradations
    return {
        "picture": None if shown is None or shown.sha256 is None else shown_key(shown.sha256),
        "seed": None if shown is None else shown.seed,
        "scores": scores,
        "seconds": statistics.median(seconds) if seconds else None,
        "damage": [[name, part] for name, part in _sorted(damage) if part >= _LEAST_DAMAGE],
        "failure": next((row.failure for row in rows if row.failure is not None), None),
    }


def _sorted(damage: Mapping[str, float]) -> list[tuple[str, float]]:
    """Kinds of damage, the surest first."""
    return sorted(damage.items(), key=lambda item: -item[1])


def _printed(table: PublishedTable) -> dict[str, Any]:
    """A printed table, figures as they stand in its file."""
    return {
        "paper": table.paper,
        "label": table.label,
        "caption": table.caption,
        "protocol": table.protocol,
        "source": table.source,
        "columns": list(table.columns),
        "rows": [
            [method, *("–" if value is None else str(value) for value in values)]
            for method, values in table.rows.items()
        ],
    }


def _failure(row: OutputRow) -> dict[str, Any]:
    """Who failed at which picture, and why."""
    return {
        "contestant": row.contestant,
        "dataset": row.dataset,
        "picture": row.picture,
        "seed": row.seed,
        "reason": row.failure,
    }
