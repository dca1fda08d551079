"""How many workers a run has, what each of them is asked, and how the caller knows what became of a picture."""

from dataclasses import dataclass, replace

from ldrestore.errors import InputError, OtherProcessError, printable
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.jobs.request import RestoreRequest

MOST_DEATHS = 3
"""A picture at which so many workers died has failed."""
READY = "ready"
"""What a worker of the engine accelerate says once its model is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """What a worker of the engine accelerate is told first."""

    request: RestoreRequest
    threads: int
    """To compute with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPool:
    """How many workers, and what each of them has."""

    workers: int | None = None
    """None for one a GPU, or where there is none for as many as the processors allow."""
    threads: int = 1
    """Of each worker; pixels are equal at equal thread counts."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: no workers, or no threads.
        """
        if self.threads < 1 or (self.workers is not None and self.workers < 1):
            raise InputError(f"expected at least one worker and one thread, got {self.workers} and {self.threads}")

    def size(self, *, num_cpus: int, num_gpus: int, num_jobs: int) -> int:
        """How many workers there will be; more of them than pictures are of no use.

        Args:
            num_cpus: Processors at hand.
            num_gpus: GPUs at hand; where there is one, each worker has one.
            num_jobs: Pictures.
        """
        fitting = num_gpus or num_cpus // self.threads
        return max(1, min(self.workers or fitting, num_jobs))


def request_on(request: RestoreRequest, device: str) -> RestoreRequest:
    """What a worker is asked: to compute with torch, on the device that it has."""
    return replace(request, engine="local", device=device)


def as_known(outcome: Outcome, job: Job, *, is_retried: bool = False) -> Outcome:
    """An outcome of a job as the caller knows it.

    A picture whose worker died between writing it and telling of it is found done by the next one.

    Args:
        outcome: Of a worker.
        job: As the caller has it.
        is_retried: Whether a worker is known to have died at it.
    """
    if outcome.status is Status.SKIPPED and (is_retried or job.planned_state == ()):
        return replace(outcome, job=job, status=Status.DONE, reason=None)
    return replace(outcome, job=job)


def deadly(job: Job) -> Outcome:
    """The outcome of a picture at which every worker dies, such as one that takes more memory than there is."""
    reason = f"{printable(job.source_place)}: {MOST_DEATHS} workers died at it; leave it out, or try it alone"
    return Outcome(job=job, status=Status.FAILED, reason=reason, error=OtherProcessError.__name__)
