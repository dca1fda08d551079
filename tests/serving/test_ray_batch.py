"""Pictures on a Ray cluster: what hangs on no cluster, and a cluster of two workers of which one is killed."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from ldrestore.images.files import read_photo
from ldrestore.jobs.outcome import Job, Status
from ldrestore.jobs.plan import plan_jobs
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.records import hash_of_pixels, read_record
from ldrestore.serving import ray_crew
from ldrestore.serving.ray_batch import RayWorker, rows_of_ray
from ldrestore.serving.ray_crew import RunBook
from ldrestore.serving.remote_plan import plan_elsewhere
from ldrestore.serving.worker_pool import WorkerPool


@pytest.fixture
def request_of(tiny_model):
    return RestoreRequest(model=str(tiny_model), device="cpu", options=options_for(str(tiny_model), {}))


@pytest.fixture(autouse=True)
def even_niceness(monkeypatch):
    """Workers that others on this machine do not starve; Ray would have them at a niceness of 15."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


def planned(folder, target):
    return plan_jobs([str(folder)], str(target), picture_format=None, is_recursive=True, may_overwrite=False).jobs


def test_a_worker_does_pickled_jobs_and_names_what_is_broken(request_of, picture, tmp_path):
    jobs = [
        Job(source=picture(tmp_path / "a.png"), target=tmp_path / "out" / "a.png", name="a.png"),
        Job(source=tmp_path / "gone.png", target=tmp_path / "out" / "gone.png", name="gone.png"),
    ]
    worker = RayWorker(pickle.dumps(request_of), 1, RunBook())
    rows = worker({"job": [pickle.dumps(job) for job in jobs]})
    outcomes = [pickle.loads(row) for row in rows["outcome"]]
    assert [(outcome.job, outcome.status) for outcome in outcomes] == [(jobs[0], Status.DONE), (jobs[1], Status.FAILED)]
    assert outcomes[1].error == "ImageNotFoundError"
    assert list(rows["process"]) == [os.getpid()] * 2


def test_a_picture_at_which_three_workers_died_is_named_and_not_begun(request_of, picture, tmp_path):
    job = Job(source=picture(tmp_path / "a.png"), target=tmp_path / "a_out.png", name="a.png")
    book = RunBook()
    assert [book.begin("", job.target_place) for _ in range(3)] == [0, 1, 2]
    rows = RayWorker(pickle.dumps(request_of), 1, book)({"job": [pickle.dumps(job)]})
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


def lose(cluster, node):
    """End a machine of a cluster on this one, all of its processes at once."""
    import psutil

    (raylet,) = node.all_processes["raylet"]
    workers = psutil.Process(raylet.process.pid).children(recursive=True)
    cluster.remove_node(node, allow_graceful=False)
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_lost_node_loses_nothing_whether_another_comes_or_not(
    request_of, picture, tmp_path, monkeypatch, is_replaced
):
    import ray
    import ray.data
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(ray_crew, "LOST_SECONDS", 300.0 if is_replaced else 5.0)
    for seed in range(24):
        picture(tmp_path / "in" / f"{seed:02}.png", seed=seed, height=256, width=256)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    # No worker begins before all are there: the first one would do everything alone while the second still starts.
    monkeypatch.setattr(ray.data.DataContext.get_current(), "wait_for_min_actors_s", 600)
    try:
        names, processes = [], set()
        for outcome, process in rows_of_ray(
            planned(tmp_path / "in", tmp_path / "out"), request_of, WorkerPool(workers=2)
        ):
            names.append((outcome.job.name, outcome.status))
            processes.add(process)
            if node is not None and len(processes) == 2:
                lose(cluster, node)
                if is_replaced:
                    cluster.add_node(num_cpus=1)
                node = None
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert node is None, "no picture came from the second node"
    assert sorted(names) == [(f"{seed:02}.png", Status.DONE) for seed in range(24)]
    assert not planned(tmp_path / "in", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_after_the_command_was_killed_the_same_one_finishes(tiny_model, picture, tmp_path):
    for seed in range(40):
        picture(tmp_path / "in" / f"{seed:02}.png", seed=seed, height=192, width=192)
    command = [sys.executable, "-m", "ldrestore", "restore", tmp_path / "in", tmp_path / "out", "--model", tiny_model]
    command = [*map(str, command), "--device", "cpu", "--engine", "ray", "--workers", "2", "--json"]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while killed.poll() is None and len(list(tmp_path.glob("out/*.png"))) < 4:
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    done = len(list(tmp_path.glob("out/*.png")))
    assert 4 <= done < 40, "the command was to be killed in the middle"
    second = subprocess.run(command, check=True, capture_output=True, text=True)
    states = Counter(entry["status"] for entry in json.loads(second.stdout)["results"])
    assert states["done"] + states["skipped"] == 40 and states["done"] > 0 and states["skipped"] >= done
    assert {path.name for path in tmp_path.glob("out/[!.]*.png")} == {f"{seed:02}.png" for seed in range(40)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_manifest_of_paths_and_urls_goes_to_a_url(tiny_model, picture, tmp_path):
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        picture(tmp_path / "in" / name, seed=seed)
    elsewhere = f"simplecache::file://{tmp_path}"  # to fsspec no folder of this machine, yet seen by all its processes
    sources = ["a.png", f"file://{tmp_path}/in/b.png", f"{elsewhere}/in/c.png", f"{elsewhere}/in/gone.png"]
    targets = ["1/a.png", "1/b.png", "2/c.png", "2/gone.png"]
    parquet.write_table(pyarrow.table({"source": sources, "target": targets}), tmp_path / "in" / "list.parquet")
    command = [sys.executable, "-m", "ldrestore", "restore", tmp_path / "in" / "list.parquet", f"{elsewhere}/out"]
    command += ["--model", tiny_model, "--device", "cpu", "--engine", "ray", "--workers", "2", "--json"]
    call = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert call.returncode == 1, call.stderr
    results = {entry["input"].rpartition("/")[2]: entry for entry in json.loads(call.stdout)["results"]}
    assert {name: entry["status"] for name, entry in results.items()} == {
        "a.png": "done", "b.png": "done", "c.png": "done", "gone.png": "failed"
    }  # fmt: skip
    assert "gone.png" in results["gone.png"]["reason"] and "no such file" in results["gone.png"]["reason"]
    for name, place in (("a.png", "1"), ("b.png", "1"), ("c.png", "2")):
        record = read_record(tmp_path / "out" / place / name)
        assert record == results[name]["record"]
        assert record["input_sha256"] == hash_of_pixels(read_photo(tmp_path / "in" / name).pixels, None)
        assert record["output_sha256"] == hash_of_pixels(read_photo(tmp_path / "out" / place / name).pixels, None)
    again = plan_elsewhere(
        [str(tmp_path / "in" / "list.parquet")],
        f"{elsewhere}/out",
        picture_format=None,
        is_recursive=False,
        may_overwrite=False,
    )
    assert [job.name for job in again.jobs] == [sources[-1]]
    assert {outcome.status for outcome in again.settled} == {Status.SKIPPED}
