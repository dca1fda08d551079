"""Pictures on a Ray cluster: what hangs on no cluster, and a cluster of two workers of which one is killed."""

import os
import pickle
import signal

import numpy as np
import pytest

from ldrestore.images.files import read_photo
from ldrestore.jobs.outcome import Job, Status
from ldrestore.jobs.plan import plan_jobs
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.serving.ray_batch import Attempts, RayWorker, rows_of_ray
from ldrestore.serving.worker_pool import WorkerPool


@pytest.fixture
def request_of(tiny_model):
    return RestoreRequest(model=str(tiny_model), device="cpu", options=options_for(str(tiny_model), {}))


def planned(folder, target):
    return plan_jobs([str(folder)], str(target), picture_format=None, is_recursive=True, may_overwrite=False).jobs


def test_a_worker_does_pickled_jobs_and_names_what_is_broken(request_of, picture, tmp_path):
    jobs = [
        Job(source=picture(tmp_path / "a.png"), target=tmp_path / "out" / "a.png", name="a.png"),
        Job(source=tmp_path / "gone.png", target=tmp_path / "out" / "gone.png", name="gone.png"),
    ]
    worker = RayWorker(pickle.dumps(request_of), 1, Attempts().begin)
    rows = worker({"job": [pickle.dumps(job) for job in jobs]})
    outcomes = [pickle.loads(row) for row in rows["outcome"]]
    assert [(outcome.job, outcome.status) for outcome in outcomes] == [(jobs[0], Status.DONE), (jobs[1], Status.FAILED)]
    assert outcomes[1].error == "ImageNotFoundError"
    assert list(rows["process"]) == [os.getpid()] * 2


def test_a_picture_at_which_three_workers_died_is_named_and_not_begun(request_of, picture, tmp_path):
    job = Job(source=picture(tmp_path / "a.png"), target=tmp_path / "a_out.png", name="a.png")
    attempts = Attempts()
    assert [attempts.begin(job.target_place) for _ in range(3)] == [0, 1, 2]
    rows = RayWorker(pickle.dumps(request_of), 1, attempts.begin)({"job": [pickle.dumps(job)]})
    outcome = pickle.loads(rows["outcome"][0])
    assert outcome.status is Status.FAILED and "3 workers died at it" in outcome.reason
    assert not job.target.exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
def test_a_killed_worker_loses_nothing_and_pixels_are_those_of_one_machine(request_of, picture, tmp_path):
    import ray

    for seed in range(24):
        picture(tmp_path / "in" / f"{seed:02}.png", seed=seed, height=96, width=96)
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        outcomes, killed = [], None
        rows = rows_of_ray(planned(tmp_path / "in", tmp_path / "out"), request_of, WorkerPool(workers=2, threads=1))
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


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
def test_a_lost_node_loses_nothing_once_another_is_there(request_of, picture, tmp_path, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")
    for seed in range(24):
        picture(tmp_path / "in" / f"{seed:02}.png", seed=seed, height=96, width=96)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        names, processes = [], set()
        for outcome, process in rows_of_ray(
            planned(tmp_path / "in", tmp_path / "out"), request_of, WorkerPool(workers=2)
        ):
            names.append((outcome.job.name, outcome.status))
            processes.add(process)
            if node is not None and len(processes) == 2:
                cluster.remove_node(node, allow_graceful=False)
                cluster.add_node(num_cpus=1)
                node = None
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert node is None, "no picture came from the second node"
    assert sorted(names) == [(f"{seed:02}.png", Status.DONE) for seed in range(24)]
    assert not planned(tmp_path / "in", tmp_path / "out")
