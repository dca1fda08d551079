"""Do jobs one after another; one bad picture does not stop the rest."""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

from ldrestore.errors import ImageFileError, ImageWriteError, LDRestoreError, RunCancelledError, printable
from ldrestore.jobs.outcome import Job, Outcome, Result, Status

logger = logging.getLogger(__name__)

Work = Callable[[Job], Result]
"""Makes the result of one job, raises if it cannot."""
WAIT_SECONDS = 0.5
"""Between two looks at a picture that another run works on."""


def run_jobs(
    jobs: Iterable[Job],
    work: Work,
    *,
    on_start: Callable[[Job], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> Iterator[Outcome]:
    """Do jobs as they come, and tell what became of each as soon as it is known.

    What another run works on is put off to the end, and waited for there.

    Args:
        jobs: Drawn one at a time, so that they may come of a generator that never ends.
        work: Does one job.
        on_start: Is told of each job that begins.
        is_cancelled: Asked before each job; once it says yes, the rest is left.

    Yields:
        Done, skipped and failed ones, and one that was called off in the middle.
    """
    busy = yield from _run_round(jobs, work, on_start=on_start, is_cancelled=is_cancelled)
    while busy:
        waiting = busy
        busy = yield from _run_round(waiting, work, on_start=on_start, is_cancelled=is_cancelled)
        if len(busy) == len(waiting):
            time.sleep(WAIT_SECONDS)


def _run_round(
    jobs: Iterable[Job],
    work: Work,
    *,
    on_start: Callable[[Job], None] | None,
    is_cancelled: Callable[[], bool] | None,
) -> Generator[Outcome, None, list[Job]]:
    """Do jobs one after another, and return those that another run works on; none once the run is called off."""
    busy = []
    for job in jobs:
        if is_cancelled is not None and is_cancelled():
            return []
        outcome = _run_job(job, work, on_start)
        if outcome is None:
            busy.append(job)
        else:
            yield outcome
    return busy


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


def _run_job(job: Job, work: Work, on_start: Callable[[Job], None] | None) -> Outcome | None:
    """Do one job and note what became of it; None where another run works on it."""
    start = time.perf_counter()
    if on_start is not None:
        on_start(job)
    try:
        result = work(job)
    except RunCancelledError as error:
        return Outcome(job=job, status=Status.CANCELLED, reason=str(error), seconds=time.perf_counter() - start)
    except LDRestoreError as error:
        logger.debug("%s", printable(job.name), exc_info=True)
        reason = str(error) if isinstance(error, ImageFileError) else f"{printable(job.source_place)}: {error}"
        return _failure(job, error, reason=reason, start=start)
    except Exception as error:  # a fault of ours in one picture must not cost the user the rest of the night's run
        logger.debug("%s", printable(job.name), exc_info=True)
        reason = (
            f"{printable(job.source_place)}: unexpected {type(error).__name__}: {printable(error)}; LDRESTORE_DEBUG=1 "
            "shows where"
        )
        return _failure(job, error, reason=reason, start=start)
    if result.is_busy:
        return None
    return Outcome(
        job=job,
        status=Status.DONE if result.skipped is None else Status.SKIPPED,
        reason=result.skipped,
        seconds=time.perf_counter() - start,
        record=result.record,
        advice=result.advice,
        notes=result.notes,
        thumbnails=result.thumbnails,
    )


def _failure(job: Job, error: Exception, *, reason: str, start: float) -> Outcome:
    """The outcome of a job that raised."""
    seconds = time.perf_counter() - start
    return Outcome(job=job, status=Status.FAILED, reason=reason, error=type(error).__name__, seconds=seconds)
