"""One worker of the engine accelerate, as `accelerate launch -m ldrestore.serving.accelerate_worker` starts it.

Its standard input brings pickles of the process that started it: a `WorkerStart`, then one job after another. Its
standard output takes them back: `READY` or the reason why the model cannot be had, then an outcome for each job.
Whatever else would be printed goes to standard error.
"""

import os
import pickle
import sys
from collections.abc import Iterator
from typing import IO, Any

from ldrestore.errors import LDRestoreError
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.serving.remote_files import carrying
from ldrestore.serving.worker_pool import READY, WorkerStart, request_on


def serve(jobs: IO[bytes], outcomes: IO[bytes]) -> None:
    """Load the model on the device that accelerate gives, then do jobs until there are no more.

    Args:
        jobs: Pickles of a `WorkerStart` and of `Job`s.
        outcomes: Takes pickles of `READY`, or an `LDRestoreError` and nothing else; then of a process number and an
            `Outcome` for each job.
    """
    start: WorkerStart = pickle.load(jobs)
    try:
        worker = RestoreWorker(request_on(start.request, _device(start.threads)))
    except LDRestoreError as error:
        _tell(error, outcomes)
        return
    _tell(READY, outcomes)
    work = carrying(worker, may_overwrite=start.request.may_overwrite)
    for outcome in run_jobs(_pickles(jobs), work):
        _tell((os.getpid(), outcome), outcomes)


def _device(threads: int) -> str:
    """The device that accelerate chose for this process."""
    import torch
    from accelerate import PartialState

    torch.set_num_threads(threads)
    return str(PartialState().device)


def _pickles(stream: IO[bytes]) -> Iterator[Job]:
    """Jobs until the stream ends, which it does, too, when the process at its other end is gone."""
    while True:
        try:
            job: Job = pickle.load(stream)
        except EOFError:
            return
        yield job


def _tell(answer: Any, outcomes: IO[bytes]) -> None:  # Any: a pickle takes every type
    """Send an answer at once."""
    pickle.dump(answer, outcomes)
    outcomes.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # so that no package prints into the answers
        serve(sys.stdin.buffer, answers)
