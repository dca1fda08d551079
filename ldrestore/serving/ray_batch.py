"""Many pictures on many machines: Ray Data hands them to a pool of workers, each with one model on one device.

What keeps a run whole is that of one machine: results are written whole or not at all, each picture is claimed by
one worker, and what lies at its target is not made again. So a worker that dies loses the picture it was at, which
Ray gives to its successor; what waits with one that has none is done in another round; and after the driver died, the
same call again finishes what is missing.
"""

import importlib.util
import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ldrestore.errors import LDRestoreError, MissingExtraError
from ldrestore.jobs.outcome import Job, Outcome
from ldrestore.jobs.request import RestoreRequest
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.serving.ray_crew import Crew, RemoteBook, RunBook, arrive_in
from ldrestore.serving.remote_files import carrying
from ldrestore.serving.worker_pool import MOST_DEATHS, WorkerPool, as_known, deadly, request_on

MOST_BLOCKS = 20_000
"""Jobs are handed out in so many pieces at most: one picture each, until there are more pictures."""
WAITING_BLOCKS = 2
"""Pieces that wait at each worker while it works on one."""


class RayWorker:
    """A model on a device of one machine; Ray makes one in each process of the pool."""

    def __init__(self, request: bytes, threads: int, book: RunBook | RemoteBook) -> None:
        """Load the model.

        Args:
            request: A pickled `RestoreRequest`.
            threads: To compute with.
            book: Is told of each picture that begins and ends.
        """
        self._book = book
        self._number = arrive_in(book)
        import torch

        torch.set_num_threads(threads)
        wanted: RestoreRequest = pickle.loads(request)
        self._restore = carrying(RestoreWorker(wanted), may_overwrite=wanted.may_overwrite)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Restore a batch.

        Args:
            batch: "job" to pickled jobs.

        Returns:
            "outcome" to pickled outcomes, and "process" to the number of this process, a row a job.
        """
        outcomes = [self._outcome_of(pickle.loads(job)) for job in batch["job"]]
        column = np.empty(len(outcomes), object)
        column[:] = [pickle.dumps(outcome) for outcome in outcomes]
        return {"outcome": column, "process": np.full(len(outcomes), os.getpid())}

    def _outcome_of(self, job: Job) -> Outcome:
        """Restore a picture, unless it kills whoever does."""
        try:
            if self._book.begin(self._number, job.target_place) >= MOST_DEATHS:
                return deadly(job)
            (outcome,) = run_jobs([job], self._restore)
            return outcome
        finally:
            self._book.finish(self._number)


def check_ray() -> None:
    """Refuse to begin without Ray.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("ray[data]", "ray", "for the engine ray")


def run_on_ray(jobs: Sequence[Job], request: RestoreRequest, pool: WorkerPool) -> Iterator[Outcome]:
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


def rows_of_ray(jobs: Sequence[Job], request: RestoreRequest, pool: WorkerPool) -> Iterator[tuple[Outcome, int]]:
    """`run_on_ray`, with the number of the process that each picture was done in."""
    check_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    import ray
    import ray.data
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.WARNING)
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # what matters is raised; all of it is in Ray's own files
            handler.setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # what waited with a lost worker is done by another one, in the next round
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    request = request_on(request, "cuda" if num_gpus else "cpu")
    # On the driver's node, which lives as long as the run.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    book = ray.remote(RunBook).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
    missing = {place: job for place, job in ((_absolute(job), job) for job in jobs)}
    while missing:
        crew = Crew(book)
        try:
            for row in crew.watch(_rows(list(missing), request, pool, book=book, on_gpu=bool(num_gpus))):
                outcome: Outcome = pickle.loads(row["outcome"])
                yield as_known(outcome, missing.pop(outcome.job)), int(row["process"])
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            reason = str(cause).strip().splitlines()[-1]
            raise LDRestoreError(f"the workers gave up ({reason}); the same call again does what is missing") from error
        if missing and not crew.num_lost:
            raise LDRestoreError(
                f"the workers gave up {len(missing)} of {len(jobs)} pictures; the same call again does what is missing"
            )


def _rows(
    jobs: Sequence[Job], request: RestoreRequest, pool: WorkerPool, *, book: Any, on_gpu: bool
) -> Iterator[dict[str, Any]]:
    """What the workers say of each picture, as it comes; nothing of those that waited with a lost worker.

    Args:
        jobs: With absolute paths.
        request: What is asked of all of them, device and all.
        pool: The workers.
        book: The actor that is a `RunBook`.
        on_gpu: Whether each worker has a GPU.
    """
    import ray
    import ray.data

    resources = ray.cluster_resources()
    num_cpus, num_gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0)) if on_gpu else 0
    size = pool.size(num_cpus=num_cpus, num_gpus=num_gpus, num_jobs=len(jobs))
    rows = [{"job": pickle.dumps(job)} for job in jobs]
    dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS)).map_batches(
        RayWorker,
        fn_constructor_args=(pickle.dumps(request), pool.threads, RemoteBook(book)),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1 + WAITING_BLOCKS),
        num_cpus=0 if on_gpu else pool.threads,
        num_gpus=1 if on_gpu else 0,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": str(pool.threads)}},
    )
    return iter(dataset.iter_rows())


def _absolute(job: Job) -> Job:
    """A job whose paths do not depend on the folder that a process works in."""
    return replace(
        job,
        source=job.source if job.source_url is not None else job.source.absolute(),
        target=job.target if job.target_url is not None else job.target.absolute(),
    )
