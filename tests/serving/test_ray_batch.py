"""Pictures on a Ray cluster: what hangs on no cluster, and a cluster of two workers of which one is killed."""

import os
import pickle
import signal

import numpy as np
import pytest

from ldrestore.errors import InputError
from ldrestore.images.files import read_photo
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.jobs.plan import plan_jobs
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.serving.ray_batch import RayPool, RayWorker, as_known, rows_of_ray


@pytest.fixture
def request_of(tiny_model):
    return RestoreRequest(model=str(tiny_model), device="cpu", options=options_for(str(tiny_model), {}))


def planned(folder, target):
    return plan_jobs([str(folder)], str(target), picture_format=None, is_recursive=True, may_overwrite=False).jobs


def test_workers_are_one_a_gpu_or_what_the_processors_allow():
    assert RayPool(threads=4).size({"CPU": 18}, num_jobs=100) == (4, False)
    assert RayPool().size({"CPU": 18, "GPU": 2}, num_jobs=100) == (2, True)
    assert RayPool(workers=3).size({"CPU": 2}, num_jobs=100) == (3, False)
    assert RayPool().size({"CPU": 8}, num_jobs=2) == (2, False)
    assert RayPool(threads=8).size({"CPU": 2}, num_jobs=2) == (1, False)
    for wrong in ({"threads": 0}, {"workers": 0}):
        with pytest.raises(InputError, match="at least one worker and one thread"):
            RayPool(**wrong)


def test_a_worker_does_pickled_jobs_and_names_what_is_broken(request_of, picture, tmp_path):
    jobs = [
        Job(source=picture(tmp_path / "a.png"), target=tmp_path / "out" / "a.png", name="a.png"),
        Job(source=tmp_path / "gone.png", target=tmp_path / "out" / "gone.png", name="gone.png"),
    ]
    worker = RayWorker(pickle.dumps(request_of), 1)
    rows = worker({"job": [pickle.dumps(job) for job in jobs]})
    outcomes = [pickle.loads(row) for row in rows["outcome"]]
    assert [(outcome.job, outcome.status) for outcome in outcomes] == [(jobs[0], Status.DONE), (jobs[1], Status.FAILED)]
    assert outcomes[1].error == "ImageNotFoundError"
    assert list(rows["process"]) == [os.getpid()] * 2


def test_what_a_dead_worker_had_written_counts_as_done(tmp_path):
    known = Job(source=tmp_path / "a", target=tmp_path / "b", name="a", planned_state=())
    again = Job(source=tmp_path / "c", target=tmp_path / "d", name="c", planned_state=(1, 2, 3))
    names = {known: known, again: again}
    skipped = [Outcome(job=job, status=Status.SKIPPED, reason="exists") for job in (known, again)]
    assert [as_known(outcome, names).status for outcome in skipped] == [Status.DONE, Status.SKIPPED]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_killed_worker_loses_nothing_and_pixels_are_those_of_one_machine(request_of, picture, tmp_path):
    import ray

    for seed in range(24):
        picture(tmp_path / "in" / f"{seed:02}.png", seed=seed, height=96, width=96)
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        outcomes, killed = [], None
        rows = rows_of_ray(planned(tmp_path / "in", tmp_path / "out"), request_of, RayPool(workers=2, threads=1))
        for outcome, process in rows:
            outcomes.append(outcome)
            if killed is None:
                os.kill(process, signal.SIGKILL)
                killed = process
    finally:
        ray.shutdown()
    states = {outcome.job.name: outcome.status for outcome in outcomes}
    assert states.pop("broken.png") is Status.FAILED
    assert set(states.values()) == {Status.DONE} and len(states) == 24 == len(outcomes) - 1
    alone = list(run_jobs(planned(tmp_path / "in", tmp_path / "alone"), RestoreWorker(request_of)))
    for outcome in alone:
        if outcome.status is Status.DONE:
            other = read_photo(tmp_path / "out" / outcome.job.name).pixels
            assert np.array_equal(read_photo(outcome.job.target).pixels, other)
    names = {path.name for path in (tmp_path / "out").glob("[!.]*")}  # a killed one leaves a hidden part behind
    assert names == {f"{seed:02}.png{end}" for seed in range(24) for end in ("", ".json")}
    assert [job.name for job in planned(tmp_path / "in", tmp_path / "out")] == ["broken.png"]  # all a second call does
