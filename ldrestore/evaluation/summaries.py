"""Means, averages and comparisons of the scores of a benchmark."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ldrestore.evaluation.paired_statistics import STATISTICS, estimate_mean, holm, sign_flip_p, verdict_of
from ldrestore.evaluation.reliability import reliability_rows
from ldrestore.evaluation.results import ComparisonRow, EstimateRow, MeanRow, MetricRow, OutputRow, Results
from ldrestore.metrics.catalog import DECIBELS

Values = Mapping[str, float]
"""Picture to value, the mean of its seeds."""


def summarised(results: Results) -> Results:
    """The results with their means, comparisons and estimates computed anew."""
    return replace(
        results,
        statistics=STATISTICS,
        means=tuple(_means(results)),
        comparisons=tuple(_comparisons(results)),
        estimates=tuple(_estimates(results)),
        reliability=tuple(reliability_rows(results)),
    )


def condensed(results: Results) -> Results:
    """What tables need of results: no single picture or output. For figures that lie in a repository."""
    return replace(results, pictures=(), outputs=(), set_scores=())


def values_of(results: Results, contestant: str, dataset: str, metric: str) -> dict[str, float]:
    """Picture to value of one contestant: the mean over seeds, a PSNR counting at most the protocol's cap."""
    by_picture: dict[str, list[float]] = defaultdict(list)
    for row in _rows(results, contestant, dataset):
        if metric in row.scores:
            by_picture[row.picture].append(_capped(row.scores[metric], metric, results))
    return {
        picture: float(np.mean(values)) for picture, values in by_picture.items() if all(map(math.isfinite, values))
    }


def _rows(results: Results, contestant: str, dataset: str) -> Iterator[OutputRow]:
    """Outputs of one contestant on one dataset."""
    return (row for row in results.outputs if (row.contestant, row.dataset) == (contestant, dataset))


def _capped(value: float, metric: str, results: Results) -> float:
    """What a picture counts."""
    return min(value, cap_of(results)) if metric in DECIBELS else value


def cap_of(results: Results) -> float:
    """What the PSNR of a picture counts at most in a mean, in dB."""
    return float(results.protocol["psnr_cap"])


def _means(results: Results) -> Iterator[MeanRow]:
    """A row for each contestant, dataset and metric, then those of averages."""
    clusters = {(row.dataset, row.name): row.cluster for row in results.pictures}
    rows: dict[tuple[str, str, str], MeanRow] = {}
    for contestant, metric in itertools.product(results.contestants, results.metrics):
        for dataset in results.datasets:
            row = _mean_of_dataset(results, contestant.name, dataset.name, metric, clusters)
            if row is not None:
                rows[contestant.name, dataset.name, metric.name] = row
        for average, parts in results.averages.items():
            found = [rows.get((contestant.name, part, metric.name)) for part in parts]
            whole = [row for row in found if row is not None]
            if whole and len(whole) == len(found):
                rows[contestant.name, average, metric.name] = MeanRow(
                    contestant=contestant.name,
                    dataset=average,
                    metric=metric.name,
                    mean=float(np.mean([row.mean for row in whole])),
                    low=None,
                    high=None,
                    num_pictures=sum(row.num_pictures for row in whole),
                    num_scenes=0,
                    cap=next((row.cap for row in whole if row.cap is not None), None),
                )
    yield from rows.values()


def _mean_of_dataset(
    results: Results, contestant: str, dataset: str, metric: MetricRow, clusters: Mapping[tuple[str, str], str]
) -> MeanRow | None:
    """The mean over one dataset; None where nothing was scored."""
    if metric.compares == "sets":
        return _mean_of_sets(results, contestant, dataset, metric.name)
    values = values_of(results, contestant, dataset, metric.name)
    if not values:
        return None
    estimate = estimate_mean(list(values.values()), [clusters[dataset, picture] for picture in values])
    raw = [row.scores[metric.name] for row in _rows(results, contestant, dataset) if metric.name in row.scores]
    is_capped = metric.name in DECIBELS and any(value > cap_of(results) for value in raw)
    return MeanRow(
        contestant=contestant,
        dataset=dataset,
        metric=metric.name,
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        num_pictures=estimate.num_values,
        num_scenes=estimate.num_scenes,
        spread=_spread(results, contestant, dataset, metric.name),
        cap=cap_of(results) if is_capped else None,
    )


def _mean_of_sets(results: Results, contestant: str, dataset: str, metric: str) -> MeanRow | None:
    """The value of a whole set, averaged over seeds."""
    rows = [row for row in results.set_scores if (row.contestant, row.dataset) == (contestant, dataset)]
    values = [row.scores[metric] for row in rows if metric in row.scores]
    if not values:
        return None
    restored = len({row.picture for row in _rows(results, contestant, dataset) if row.path is not None})
    counts = [row.num_pictures for row in rows if metric in row.scores and row.num_pictures is not None]
    return MeanRow(
        contestant=contestant,
        dataset=dataset,
        metric=metric,
        mean=float(np.mean(values)),
        low=None,
        high=None,
        num_pictures=min(counts, default=restored),
        num_scenes=0,
        spread=float(np.std(values, ddof=1)) if len(values) > 1 else None,
    )


def _spread(results: Results, contestant: str, dataset: str, metric: str) -> float | None:
    """Standard deviation of the dataset's mean over seeds; None for one run."""
    by_seed: dict[int | None, list[float]] = defaultdict(list)
    for row in _rows(results, contestant, dataset):
        if metric in row.scores:
            by_seed[row.seed].append(_capped(row.scores[metric], metric, results))
    if len(by_seed) < 2:
        return None
    return float(np.std([np.mean(values) for values in by_seed.values()], ddof=1))


def _comparisons(results: Results) -> Iterator[ComparisonRow]:
    """Every two contestants, on the pictures that both have; Holm over the datasets of a metric and a pair."""
    clusters = {(row.dataset, row.name): row.cluster for row in results.pictures}
    names = [row.name for row in results.contestants]
    for metric in results.metrics:
        if metric.compares == "sets":
            continue
        values = {
            (name, dataset.name): values_of(results, name, dataset.name, metric.name)
            for name, dataset in itertools.product(names, results.datasets)
        }
        for first, second in itertools.combinations(names, 2):
            family = [
                row
                for dataset in results.datasets
                if (
                    row := _comparison(
                        values[first, dataset.name],
                        values[second, dataset.name],
                        metric,
                        (dataset.name, first, second),
                        clusters,
                    )
                )
            ]
            yield from _corrected(family, lower_is_better=metric.lower_is_better)


def _comparison(
    first: Values,
    second: Values,
    metric: MetricRow,
    names: tuple[str, str, str],
    clusters: Mapping[tuple[str, str], str],
) -> ComparisonRow | None:
    """One uncorrected comparison, named by dataset, metric and contestants; None where no picture is in both."""
    dataset, name, other = names
    shared = [picture for picture in first if picture in second]
    if not shared:
        return None
    differences = [second[picture] - first[picture] for picture in shared]
    worst = (max if metric.lower_is_better else min)(range(len(shared)), key=differences.__getitem__)
    scenes = [clusters[dataset, picture] for picture in shared]
    estimate, p = estimate_mean(differences, scenes), sign_flip_p(differences, scenes)
    return ComparisonRow(
        dataset=dataset,
        metric=metric.name,
        first=name,
        second=other,
        difference=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        p=p,
        p_holm=p,
        verdict="tied",
        num_scenes=estimate.num_scenes,
        worst_picture=shared[worst],
        worst_difference=differences[worst],
    )


def _estimates(results: Results) -> Iterator[EstimateRow]:
    """What each contestant that tells took the pictures of each dataset for."""
    tasks = {row.name: row.task for row in results.datasets}
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in results.outputs:
        if row.degradations:
            counts[row.contestant, row.dataset][max(row.degradations, key=row.degradations.__getitem__)] += 1
    for (contestant, dataset), found in counts.items():
        yield EstimateRow(contestant=contestant, dataset=dataset, task=tasks[dataset], counts=dict(found))


def _corrected(rows: Sequence[ComparisonRow], *, lower_is_better: bool) -> Iterator[ComparisonRow]:
    """The rows of one family with Holm's p and their verdicts."""
    corrected = holm({row.dataset: row.p for row in rows})
    for row in rows:
        p_holm = corrected[row.dataset]
        verdict = verdict_of(row.difference, p_holm, lower_is_better=lower_is_better)
        yield replace(row, p_holm=p_holm, verdict=verdict)
