"""Several submissions of one suite as one: contestants that were measured apart, side by side."""

from collections.abc import Sequence
from dataclasses import replace

from ldrestore.errors import InputError
from ldrestore.evaluation.comparison import check_comparable
from ldrestore.evaluation.contestants import INPUT
from ldrestore.evaluation.results import ContestantRow, Results
from ldrestore.evaluation.summaries import summarised


def merged(submissions: Sequence[Results]) -> Results:
    """One results object of several files.

    Pictures are told by their hashes: one name must be one picture in all of them. Paths of results stay as they are in
    each file, so that pictures are to be found in the folder of the file that they come from.

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
        whole = replace(
            whole,
            environments={**other.environments, **whole.environments},
            datasets=(*whole.datasets, *(row for row in other.datasets if row.name not in _names(whole.datasets))),
            metrics=(*whole.metrics, *(row for row in other.metrics if row.name not in _names(whole.metrics))),
            contestants=(*whole.contestants, *fresh),
            pictures=(*whole.pictures, *(row for row in other.pictures if (row.dataset, row.name) not in pictures)),
            outputs=(*whole.outputs, *(row for row in other.outputs if row.contestant in names)),
            set_scores=(*whole.set_scores, *(row for row in other.set_scores if row.contestant in names)),
            costs=(*whole.costs, *(row for row in other.costs if row.contestant in names)),
            notes=tuple(dict.fromkeys((*whole.notes, *other.notes))),
        )
    return summarised(whole)


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


def _names(rows: Sequence[object]) -> set[str]:
    """The names of rows."""
    return {str(getattr(row, "name", "")) for row in rows}
