"""Several results as one: contestants of one suite that were measured apart, or datasets of two suites."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ldrestore.errors import InputError
from ldrestore.evaluation.comparison import check_comparable, check_whole, other_versions
from ldrestore.evaluation.contestants import INPUT
from ldrestore.evaluation.results import (
    DATA_PREFIX,
    ContestantRow,
    DatasetRow,
    MetricRow,
    OutputRow,
    Results,
    SetScoreRow,
    located,
)
from ldrestore.evaluation.stored_files import link_or_copy
from ldrestore.evaluation.summaries import summarised


def merged(submissions: Sequence[Results]) -> Results:
    """One results object of several files.

    Pictures are told by their hashes: one name must be one picture in all of them. Paths of results stay as they are in
    each file; `gather_files` brings what they name into one folder.

    Args:
        submissions: Whole results, with pictures and outputs, at least one.

    Raises:
        InputError: suites, protocols, weights of metrics or pictures differ, one contestant comes twice with other
            files or options, or a file is a summary without single pictures.
    """
    if not submissions:
        raise InputError("nothing to merge; give at least one results file")
    for results in submissions:
        check_whole(results)
    whole = submissions[0]
    for other in submissions[1:]:
        check_comparable(whole, other)
        known = {row.name: row for row in whole.contestants}
        fresh = [row for row in other.contestants if _is_new(row, known)]
        measured = {row.contestant for row in whole.costs}
        pictures = {(row.dataset, row.name) for row in whole.pictures}
        outputs = _new_outputs(whole, other)
        whole = replace(
            whole,
            environments={**other.environments, **whole.environments},
            averages={**other.averages, **whole.averages},
            datasets=_merged_datasets(whole, other),
            metrics=_merged_metrics(whole.metrics, other.metrics),
            contestants=(*whole.contestants, *fresh),
            pictures=(*whole.pictures, *(row for row in other.pictures if (row.dataset, row.name) not in pictures)),
            outputs=(*_completed(whole, other), *outputs),
            set_scores=_merged_set_scores(whole, other),
            costs=(*whole.costs, *(row for row in other.costs if row.contestant not in measured)),
            notes=tuple(dict.fromkeys((*whole.notes, *other.notes, *other_versions(whole, other)))),
        )
    return summarised(whole)


def gather_files(results: Results, folders: Sequence[Path], out_dir: Path) -> None:
    """Put the pictures of merged results into one folder, so that they can be shown and scored again there.

    Their names hold hashes of what they are made of, so that equal names are equal files. What no folder holds stays
    away, and so do pictures below a data root.

    Args:
        results: Merged.
        folders: Of the files that they come from.
        out_dir: Of the merged results.

    Raises:
        ImageWriteError: the folder cannot be written.
    """
    named = [path for row in results.pictures for path in (row.lq, row.gt)] + [row.path for row in results.outputs]
    for name in dict.fromkeys(path for path in named if path is not None and not path.startswith(DATA_PREFIX)):
        place = located(name, out_dir=out_dir, data_root=None)
        sources = (located(name, out_dir=folder, data_root=None) for folder in folders)
        source = next((path for path in sources if path.is_file()), None)
        if source is not None and not place.is_file():
            link_or_copy(source, place)


def with_datasets_of(results: Results, more: Results) -> Results:
    """The results with the figures of another suite's datasets behind their own, for one table of both.

    Single pictures, outputs and averages of the other stay out.

    Args:
        results: Of one suite.
        more: Of another, by the same protocol, of other datasets.

    Raises:
        InputError: the protocols or statistics differ, or a dataset is in both.
    """
    if dict(results.protocol) != dict(more.protocol):
        raise InputError(f"the suites {results.suite} and {more.suite} have different protocols; measure one anew")
    if results.statistics != more.statistics:
        raise InputError(
            f"the suites {results.suite} and {more.suite} have their intervals computed in two ways, "
            f"{results.statistics} and {more.statistics}; bring both up to date with: ldrestore bench --rescore DIR"
        )
    twice = sorted(_names(results.datasets) & _names(more.datasets))
    if twice:
        raise InputError(f"{', '.join(twice)} is in both suites, {results.suite} and {more.suite}")
    names = {row.name for row in more.datasets}
    return replace(
        results,
        datasets=(*results.datasets, *more.datasets),
        means=(*results.means, *(row for row in more.means if row.dataset in names)),
        comparisons=(*results.comparisons, *more.comparisons),
        notes=tuple(dict.fromkeys((*results.notes, *more.notes))),
    )


def _merged_datasets(whole: Results, other: Results) -> tuple[DatasetRow, ...]:
    """The datasets of both; of one that both have, the pictures of both."""
    theirs = {row.name: row for row in other.datasets}
    pictures: dict[str, set[str]] = {}
    for results in (whole, other):
        for output in results.outputs:
            pictures.setdefault(output.dataset, set()).add(output.picture)
    rows = []
    for row in whole.datasets:
        twin = theirs.pop(row.name, row)
        rows.append(
            replace(
                row,
                num_pictures=max(row.num_pictures, twin.num_pictures, len(pictures.get(row.name, ()))),
                num_left_out=max(row.num_left_out, twin.num_left_out),
                notes=tuple(dict.fromkeys((*row.notes, *twin.notes))),
            )
        )
    return (*rows, *theirs.values())


def _is_new(row: ContestantRow, known: dict[str, ContestantRow]) -> bool:
    """Whether a contestant is to be added; the untouched input is the same in all files.

    Raises:
        InputError: its name stands for other files or options already.
    """
    if row.name not in known:
        return True
    if row.name != INPUT and (row.identity, dict(row.options)) != (
        known[row.name].identity,
        dict(known[row.name].options),
    ):
        raise InputError(f"{row.name} is another contestant in each of the files; rename one of them")
    return False


def _new_outputs(whole: Results, other: Results) -> list[OutputRow]:
    """The outputs of another file that are not among the first one's.

    Raises:
        InputError: finished results of one name hold another picture in each of the files.
    """
    known = {_key(row): row for row in whole.outputs}
    finished = {row.name for row in whole.contestants if row.kind == "results"}
    fresh = []
    for row in other.outputs:
        there = known.get(_key(row))
        if there is None:
            fresh.append(row)
        elif row.contestant in finished and None not in (row.path, there.path) and row.sha256 != there.sha256:
            raise InputError(
                f"{row.contestant} has another result of {row.dataset}/{row.picture} in each of the files; rename one"
            )
    return fresh


def _merged_metrics(ours: Sequence[MetricRow], others: Sequence[MetricRow]) -> tuple[MetricRow, ...]:
    """The metrics of both; one that a single file could compute is as that has it."""
    known = {row.name: row for row in others if row.unavailable is None}
    kept = (known.get(row.name, row) if row.unavailable is not None else row for row in ours)
    return (*kept, *(row for row in others if row.name not in _names(ours)))


def _completed(whole: Results, other: Results) -> list[OutputRow]:
    """The outputs of the first file, with the scores that only the other has of the same pictures."""
    known = {_key(row): row for row in other.outputs}
    rows = []
    for row in whole.outputs:
        twin = known.get(_key(row))
        if twin is None or twin.path is None or (row.path is not None and row.sha256 != twin.sha256):
            rows.append(row)
        elif row.path is None:
            rows.append(twin)
        else:
            failures = dict.fromkeys(part for part in (row.failure, twin.failure) if part)
            scores = {**twin.scores, **row.scores}
            rows.append(replace(row, scores=scores, failure="; ".join(failures) or None))
    return rows


def _merged_set_scores(whole: Results, other: Results) -> tuple[SetScoreRow, ...]:
    """Metrics of whole datasets, as far as both files have the same outputs of a dataset, or one has none."""
    ours, theirs = _hashes(whole), _hashes(other)
    merged_rows: dict[tuple[str, str, int | None], SetScoreRow] = {}
    for row in (*whole.set_scores, *other.set_scores):
        group, key = (row.contestant, row.dataset), (row.contestant, row.dataset, row.seed)
        if group in ours and group in theirs and ours[group] != theirs[group]:
            continue  # it is of fewer pictures, or of others
        first = merged_rows.get(key, row)
        merged_rows[key] = replace(first, scores={**row.scores, **first.scores})
    return tuple(merged_rows.values())


def _hashes(results: Results) -> dict[tuple[str, str], dict[tuple[str, int | None], str | None]]:
    """Contestant and dataset to picture and seed to the hash of the output."""
    found: dict[tuple[str, str], dict[tuple[str, int | None], str | None]] = {}
    for row in results.outputs:
        found.setdefault((row.contestant, row.dataset), {})[row.picture, row.seed] = row.sha256
    return found


def _key(row: OutputRow) -> tuple[str, str, str, int | None]:
    """What an output is of."""
    return row.contestant, row.dataset, row.picture, row.seed


def _names(rows: Sequence[object]) -> set[str]:
    """The names of rows."""
    return {str(getattr(row, "name", "")) for row in rows}
