"""Several results as one: contestants of one suite that were measured apart, or datasets of two suites."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ldrestore.errors import InputError
from ldrestore.evaluation.comparison import check_comparable
from ldrestore.evaluation.contestants import INPUT
from ldrestore.evaluation.results import DATA_PREFIX, ContestantRow, OutputRow, Results, located
from ldrestore.evaluation.stored_files import link_or_copy
from ldrestore.evaluation.summaries import summarised


def merged(submissions: Sequence[Results]) -> Results:
    """One results object of several files.

    Pictures are told by their hashes: one name must be one picture in all of them. Paths of results stay as they are in
    each file; `gather_files` brings what they name into one folder.

    Args:
        submissions: Whole results, with pictures and outputs, at least one.

    Raises:
        InputError: suites, protocols or pictures differ, or one contestant comes twice with other files or options.
    """
    if not submissions:
        raise InputError("nothing to merge; give at least one results file")
    whole = submissions[0]
    for other in submissions[1:]:
        check_comparable(whole, other)
        known = {row.name: row for row in whole.contestants}
        fresh = [row for row in other.contestants if _is_new(row, known)]
        names = {row.name for row in fresh}
        pictures = {(row.dataset, row.name) for row in whole.pictures}
        outputs = _new_outputs(whole, other)
        grown = {(row.contestant, row.dataset) for row in outputs if row.contestant not in names}
        whole = replace(
            whole,
            environments={**other.environments, **whole.environments},
            datasets=(*whole.datasets, *(row for row in other.datasets if row.name not in _names(whole.datasets))),
            metrics=(*whole.metrics, *(row for row in other.metrics if row.name not in _names(whole.metrics))),
            contestants=(*whole.contestants, *fresh),
            pictures=(*whole.pictures, *(row for row in other.pictures if (row.dataset, row.name) not in pictures)),
            outputs=(*whole.outputs, *outputs),
            set_scores=tuple(
                row
                for row in (*whole.set_scores, *(row for row in other.set_scores if row.contestant in names))
                if (row.contestant, row.dataset) not in grown  # it was of fewer pictures
            ),
            costs=(*whole.costs, *(row for row in other.costs if row.contestant in names)),
            notes=tuple(dict.fromkeys((*whole.notes, *other.notes))),
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
    known = {(row.contestant, row.dataset, row.picture, row.seed): row for row in whole.outputs}
    finished = {row.name for row in whole.contestants if row.kind == "results"}
    fresh = []
    for row in other.outputs:
        there = known.get((row.contestant, row.dataset, row.picture, row.seed))
        if there is None:
            fresh.append(row)
        elif row.contestant in finished and row.sha256 != there.sha256:
            raise InputError(
                f"{row.contestant} has another result of {row.dataset}/{row.picture} in each of the files; rename one"
            )
    return fresh


def _names(rows: Sequence[object]) -> set[str]:
    """The names of rows."""
    return {str(getattr(row, "name", "")) for row in rows}
