"""The size of a pool, and what a caller is told of a picture whose worker died."""

import pytest

from ldrestore.errors import InputError
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.serving.worker_pool import WorkerPool, as_known


def test_workers_are_one_a_gpu_or_what_the_processors_allow():
    assert WorkerPool(threads=4).size(num_cpus=18, num_gpus=0, num_jobs=100) == 4
    assert WorkerPool().size(num_cpus=18, num_gpus=2, num_jobs=100) == 2
    assert WorkerPool(workers=3).size(num_cpus=2, num_gpus=0, num_jobs=100) == 3
    assert WorkerPool().size(num_cpus=8, num_gpus=0, num_jobs=2) == 2
    assert WorkerPool(threads=8).size(num_cpus=2, num_gpus=0, num_jobs=2) == 1
    for wrong in ({"threads": 0}, {"workers": 0}):
        with pytest.raises(InputError, match="at least one worker and one thread"):
            WorkerPool(**wrong)


def test_what_a_dead_worker_had_written_counts_as_done(tmp_path):
    known = Job(source=tmp_path / "a", target=tmp_path / "b", name="a", planned_state=())
    again = Job(source=tmp_path / "c", target=tmp_path / "d", name="c", planned_state=(1, 2, 3))

    def status(job, **options):
        return as_known(Outcome(job=job, status=Status.SKIPPED, reason="exists"), job, **options).status

    assert [status(known), status(again), status(again, is_retried=True)] == [Status.DONE, Status.SKIPPED, Status.DONE]
