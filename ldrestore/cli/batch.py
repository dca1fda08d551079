"""Do the jobs of a plan one after another; one bad picture does not stop the rest."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ldrestore import __version__
from ldrestore.cli.console import print_json, print_table, progress_bar, say
from ldrestore.cli.jobs import Job, Outcome, Plan, Status
from ldrestore.errors import ImageFileError, ImageWriteError, LDRestoreError

logger = logging.getLogger(__name__)

Work = Callable[[Job], dict[str, object] | None]
"""Makes the result of one job, raises if it cannot; returns the result's record, if there is one."""


def run_plan(plan: Plan, work: Work, *, label: str, is_quiet: bool) -> list[Outcome]:
    """Do all jobs, with a progress bar, and name each failure on standard error when it happens.

    Args:
        plan: What to do.
        work: Does one job.
        label: What the bar says, e.g. "restoring".
        is_quiet: Whether the bar is left out; failures are named all the same.

    Returns:
        One outcome for each input, those settled before included, in the order of the names.
    """
    outcomes = list(plan.settled)
    for outcome in plan.settled:
        _tell_failure(outcome)
    with progress_bar(is_shown=not is_quiet) as bar:
        task = bar.add_task(label, total=len(plan.jobs))
        for job in plan.jobs:
            outcome = _run_job(job, work)
            _tell_failure(outcome)
            outcomes.append(outcome)
            bar.advance(task)
    return sorted(outcomes, key=lambda outcome: outcome.job.name)


def make_parent(target: Path) -> None:
    """Make the folder that a result goes to.

    Raises:
        ImageWriteError: it cannot be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"its folder cannot be made ({error.strerror})"
        raise ImageWriteError(
            target, reason, "check the permissions, and that no file has the folder's name"
        ) from error


def planned(plan: Plan) -> list[Outcome]:
    """The outcomes of a dry run: nothing is done, what cannot be done is named on standard error."""
    for outcome in plan.settled:
        _tell_failure(outcome)
    waiting = [Outcome(job=job, status=Status.PLANNED) for job in plan.jobs]
    return sorted([*plan.settled, *waiting], key=lambda outcome: outcome.job.name)


def report(outcomes: list[Outcome], plan: Plan, *, command: str, as_json: bool, is_quiet: bool) -> int:
    """Print the summary, or the JSON document, and give the exit code.

    Args:
        outcomes: What became of the inputs.
        plan: The plan they come from.
        command: Name of the command, for the document.
        as_json: Whether to print one JSON document instead of tables.
        is_quiet: Whether to print nothing where `as_json` is False.

    Returns:
        0, or 1 where an input failed.
    """
    counts = Counter(outcome.status for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    if as_json:
        print_json(_document(outcomes, plan, command=command))
    elif not is_quiet:
        if counts[Status.PLANNED]:
            _print_plan(outcomes)
        columns = ("planned",) if counts[Status.PLANNED] else ("done",)
        columns = (*columns, "skipped", "failed", "ignored", "seconds")
        values = {**counts, "ignored": plan.num_ignored, "seconds": f"{seconds:.1f}"}
        print_table(columns, [tuple(str(values.get(column, 0)) for column in columns)])
    if not outcomes:
        hint = "; look into its sub-folders with --recursive" if plan.ignored_folders else ""
        say(f"warning: no pictures found in IN{hint}")
    return 1 if counts[Status.FAILED] else 0


def _run_job(job: Job, work: Work) -> Outcome:
    """Do one job and note what became of it."""
    start = time.perf_counter()
    try:
        record = work(job)
    except LDRestoreError as error:
        logger.debug("%s", job.name, exc_info=True)
        return _failure(job, error, reason=_reason(job, error), start=start)
    except Exception as error:  # a fault of ours in one picture must not cost the user the rest of the night's run
        logger.debug("%s", job.name, exc_info=True)
        reason = f"{job.source}: unexpected {type(error).__name__}: {error}; LDRESTORE_DEBUG=1 shows where"
        return _failure(job, error, reason=reason, start=start)
    return Outcome(job=job, status=Status.DONE, record=record, seconds=time.perf_counter() - start)


def _failure(job: Job, error: Exception, *, reason: str, start: float) -> Outcome:
    """The outcome of a job that raised."""
    seconds = time.perf_counter() - start
    return Outcome(job=job, status=Status.FAILED, reason=reason, error=type(error).__name__, seconds=seconds)


def _reason(job: Job, error: LDRestoreError) -> str:
    """The error's message, with the picture named in it."""
    return str(error) if isinstance(error, ImageFileError) else f"{job.source}: {error}"


def _tell_failure(outcome: Outcome) -> None:
    """Name a failed input on standard error."""
    if outcome.status is Status.FAILED:
        say(f"failed: {outcome.reason}")


def _print_plan(outcomes: Iterable[Outcome]) -> None:
    """Print one row for each input of a dry run."""
    rows = [
        (outcome.job.name, str(outcome.job.target), outcome.status.value, outcome.reason or "") for outcome in outcomes
    ]
    print_table(("input", "output", "status", "reason"), rows)


def _document(outcomes: list[Outcome], plan: Plan, *, command: str) -> dict[str, Any]:
    """The JSON document of a run."""
    counts = Counter(outcome.status for outcome in outcomes)
    return {
        "command": command,
        "version": __version__,
        "results": [
            {
                "input": str(outcome.job.source),
                "output": str(outcome.job.target),
                "status": outcome.status.value,
                "reason": outcome.reason,
                "error": outcome.error,
                "seconds": round(outcome.seconds, 3),
                "record": outcome.record,
            }
            for outcome in outcomes
        ],
        "summary": {
            **{status.value: counts[status] for status in Status},
            "ignored": plan.num_ignored,
            "seconds": round(sum(outcome.seconds for outcome in outcomes), 3),
        },
    }
