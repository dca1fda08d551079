"""Many pictures on many machines: Ray Data hands them to a pool of workers, each with one model on one device.

What keeps a run whole is that of one machine: results are written whole or not at all, each picture is claimed by
one worker, and what lies at its target is not made again. So a worker that dies loses the picture it was at, which
Ray gives to another; and after the driver died, the same call again finishes what is missing.
"""

import importlib.util
import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ldrestore.errors import InputError, LDRestoreError, MissingExtraError
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.jobs.request import RestoreRequest
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs

MOST_BLOCKS = 20_000
"""Jobs are handed out in so many pieces at most: one picture each, until there are more pictures."""
WAITING_BLOCKS = 2
"""Pieces that wait at each worker while it works on one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPool:
    """How many workers, and what each of them has."""

    workers: int | None = None
    """None for one a GPU, or where there is none for as many as the cluster's processors allow."""
    threads: int = 1
    """Of each worker; pixels are equal at equal thread counts."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            InputError: no workers, or no threads.
        """
        if self.threads < 1 or (self.workers is not None and self.workers < 1):
            raise InputError(f"expected at least one worker and one thread, got {self.workers} and {self.threads}")

    def size(self, resources: dict[str, float], *, num_jobs: int) -> tuple[int, bool]:
        """How many workers there will be, and whether each has a GPU.

        Args:
            resources: Of the cluster, as Ray tells them: CPU and GPU.
            num_jobs: More workers than pictures are of no use.
        """
        num_gpus = int(resources.get("GPU", 0))
        fitting = num_gpus or int(resources.get("CPU", 1)) // self.threads
        return max(1, min(self.workers or fitting, num_jobs)), num_gpus > 0


class RayWorker:
    """A model on a device of one machine; Ray makes one in each process of the pool."""

    def __init__(self, request: bytes, threads: int) -> None:
        """Load the model.

        Args:
            request: A pickled `RestoreRequest`.
            threads: To compute with.
        """
        import torch

        torch.set_num_threads(threads)
        self._restore = RestoreWorker(pickle.loads(request))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Restore a batch.

        Args:
            batch: "job" to pickled jobs.

        Returns:
            "outcome" to pickled outcomes, and "process" to the number of this process, a row a job.
        """
        outcomes = [outcome for job in batch["job"] for outcome in run_jobs([pickle.loads(job)], self._restore)]
        column = np.empty(len(outcomes), object)
        column[:] = [pickle.dumps(outcome) for outcome in outcomes]
        return {"outcome": column, "process": np.full(len(outcomes), os.getpid())}


def check_ray() -> None:
    """Refuse to begin without Ray.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("ray[data]", "ray", "for the engine ray")


def run_on_ray(jobs: Sequence[Job], request: RestoreRequest, pool: RayPool) -> Iterator[Outcome]:
    """Do all jobs on the cluster that RAY_ADDRESS names, or on one that is started on this machine.

    Args:
        jobs: Sources and targets lie where every worker reaches them under the same paths.
        request: What is asked of all of them.
        pool: The workers.

    Yields:
        What became of each, as it comes.

    Raises:
        MissingExtraError: Ray is not installed.
        LDRestoreError: no worker can load the model, or the cluster is lost.
    """
    for outcome, _ in rows_of_ray(jobs, request, pool):
        yield outcome


def rows_of_ray(jobs: Sequence[Job], request: RestoreRequest, pool: RayPool) -> Iterator[tuple[Outcome, int]]:
    """`run_on_ray`, with the number of the process that each picture was done in."""
    check_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    import ray
    import ray.data

    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    size, has_gpus = pool.size(ray.cluster_resources(), num_jobs=len(jobs))
    places = [job if job.source.is_absolute() and job.target.is_absolute() else _absolute(job) for job in jobs]
    names = {place: job for place, job in zip(places, jobs, strict=True)}
    rows = [{"job": pickle.dumps(place)} for place in places]
    dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS)).map_batches(
        RayWorker,
        fn_constructor_args=(pickle.dumps(_local(request, has_gpus=has_gpus)), pool.threads),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1 + WAITING_BLOCKS),
        num_cpus=0 if has_gpus else pool.threads,
        num_gpus=1 if has_gpus else 0,
        max_restarts=-1,
        max_task_retries=-1,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": str(pool.threads)}},
    )
    try:
        for row in dataset.iter_rows():
            outcome: Outcome = pickle.loads(row["outcome"])
            yield as_known(outcome, names), int(row["process"])
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        reason = str(cause).strip().splitlines()[-1]
        raise LDRestoreError(f"the workers gave up ({reason}); the same call again does what is missing") from error


def as_known(outcome: Outcome, names: dict[Job, Job]) -> Outcome:
    """An outcome of a job as the caller knows it.

    A picture whose worker died between writing it and telling of it is found done by the next one.

    Args:
        outcome: Of a worker.
        names: Job as it was handed out to job as the caller has it.
    """
    job = names[outcome.job]
    if outcome.status is Status.SKIPPED and job.planned_state == ():
        return replace(outcome, job=job, status=Status.DONE, reason=None)
    return replace(outcome, job=job)


def _absolute(job: Job) -> Job:
    """A job whose paths do not depend on the folder that a process works in."""
    return replace(job, source=job.source.absolute(), target=job.target.absolute())


def _local(request: RestoreRequest, *, has_gpus: bool) -> RestoreRequest:
    """What each worker is asked: to compute with torch, on the GPU that Ray gives it or on the processor."""
    return replace(request, engine="local", device="cuda" if has_gpus else "cpu")
