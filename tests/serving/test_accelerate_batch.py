"""Pictures on the devices of one machine: where the workers are, and workers that die."""

import io
import os
import pickle
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest

from ldrestore.errors import InputError, LDRestoreError
from ldrestore.images.files import read_photo
from ldrestore.jobs.outcome import Job, Status
from ldrestore.jobs.plan import plan_jobs
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.serving import accelerate_batch
from ldrestore.serving.accelerate_batch import rows_of_devices, worker_places
from ldrestore.serving.accelerate_worker import serve
from ldrestore.serving.worker_pool import READY, WorkerPool, WorkerStart

FAKE_WORKER = """
import os, pickle, sys
from ldrestore.jobs.outcome import Outcome, Status
jobs, answers = sys.stdin.buffer, sys.stdout.buffer
def tell(answer):
    pickle.dump(answer, answers)
    answers.flush()
pickle.load(jobs)
tell("ready")
while True:
    job = pickle.load(jobs)
    if job.name == "b.png":
        os._exit(9)
    tell((os.getpid(), Outcome(job=job, status=Status.DONE)))
"""
"""A worker without a model, which one picture kills."""


@pytest.fixture
def request_of(tiny_model):
    return RestoreRequest(
        model=str(tiny_model), device="cpu", engine="accelerate", options=options_for(str(tiny_model), {})
    )


@pytest.fixture
def num_gpus(monkeypatch):
    """`num_gpus(2)`: as if this machine had so many."""

    def set_number(number):
        monkeypatch.setattr("torch.cuda.device_count", lambda: number)
        monkeypatch.setattr("os.cpu_count", lambda: 6)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return set_number


def planned(folder, target):
    return plan_jobs([str(folder)], str(target), picture_format=None, is_recursive=True, may_overwrite=False).jobs


def answers_to(*messages):
    stream = io.BytesIO()
    serve(io.BytesIO(b"".join(map(pickle.dumps, messages))), stream)
    stream.seek(0)
    answers = []
    while stream.tell() < len(stream.getvalue()):
        answers.append(pickle.load(stream))
    return answers


def test_workers_are_on_each_gpu_or_what_the_processors_allow(num_gpus, monkeypatch):
    num_gpus(3)
    assert worker_places("auto", WorkerPool(), num_jobs=100) == ["0", "1", "2"]
    assert worker_places("cuda", WorkerPool(workers=4), num_jobs=100) == ["0", "1", "2", "0"]
    assert worker_places("cuda:1", WorkerPool(), num_jobs=100) == ["1"]
    assert worker_places("cpu", WorkerPool(threads=2), num_jobs=100) == [None] * 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6,7")
    assert worker_places("cuda:1", WorkerPool(), num_jobs=100) == ["6"]
    num_gpus(0)
    assert worker_places("auto", WorkerPool(), num_jobs=2) == [None] * 2


@pytest.mark.parametrize("device", ["cuda:2", "mps", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(num_gpus, device):
    num_gpus(2)
    with pytest.raises(InputError, match="has 2 GPUs; got "):
        worker_places(device, WorkerPool(), num_jobs=9)


def test_a_worker_says_that_it_is_ready_and_what_became_of_each_picture(request_of, picture, tmp_path):
    jobs = [
        Job(source=picture(tmp_path / "a.png"), target=tmp_path / "out" / "a.png", name="a.png"),
        Job(source=tmp_path / "gone.png", target=tmp_path / "out" / "gone.png", name="gone.png"),
    ]
    ready, *answers = answers_to(WorkerStart(request=request_of, threads=1), *jobs)
    assert ready == READY and {process for process, _ in answers} == {os.getpid()}
    assert [(outcome.job, outcome.status) for _, outcome in answers] == [
        (jobs[0], Status.DONE),
        (jobs[1], Status.FAILED),
    ]


def test_a_worker_without_its_model_says_why(tmp_path):
    (answer,) = answers_to(WorkerStart(request=RestoreRequest(model=str(tmp_path / "none")), threads=1))
    assert isinstance(answer, LDRestoreError) and "none" in str(answer)


@pytest.mark.e2e
@pytest.mark.timeout(400)  # three processes load torch and the model
def test_a_killed_worker_loses_nothing_and_pixels_are_those_of_one_process(request_of, picture, tmp_path):
    for seed in range(16):
        picture(tmp_path / "in" / f"{seed:02}.png", seed=seed, height=64, width=64)
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    rows, killed = [], None
    for outcome, process in rows_of_devices(
        planned(tmp_path / "in", tmp_path / "out"), request_of, WorkerPool(workers=2)
    ):
        rows.append((outcome, process))
        if killed is None:
            os.kill(process, signal.SIGKILL)
            killed = process
    states = {outcome.job.name: outcome.status for outcome, _ in rows}
    assert len(rows) == 17 and states.pop("broken.png") is Status.FAILED and set(states.values()) == {Status.DONE}
    assert killed not in {process for _, process in rows[8:]}
    for outcome in run_jobs(
        planned(tmp_path / "in", tmp_path / "alone"), RestoreWorker(replace(request_of, engine="local"))
    ):
        if outcome.status is Status.DONE:
            other = read_photo(tmp_path / "out" / outcome.job.name).pixels
            assert np.array_equal(read_photo(outcome.job.target).pixels, other)
    assert [job.name for job in planned(tmp_path / "in", tmp_path / "out")] == ["broken.png"]


@pytest.mark.e2e
def test_a_picture_that_kills_every_worker_is_named_and_the_others_are_done(request_of, picture, tmp_path, monkeypatch):
    fake = tmp_path / "fake_worker.py"
    fake.write_text(FAKE_WORKER)
    monkeypatch.setattr(accelerate_batch, "_command", lambda *place: [sys.executable, str(fake)])
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / "in" / name)
    rows = list(rows_of_devices(planned(tmp_path / "in", tmp_path / "out"), request_of, WorkerPool(workers=1)))
    outcomes = {outcome.job.name: outcome for outcome, _ in rows}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "a.png": Status.DONE,
        "b.png": Status.FAILED,
        "c.png": Status.DONE,
    }
    assert "3 workers died at it" in outcomes["b.png"].reason


@pytest.mark.e2e
def test_workers_that_cannot_start_end_the_run_with_what_they_said(request_of, picture, tmp_path, monkeypatch):
    monkeypatch.setattr(
        accelerate_batch, "_command", lambda *_: [sys.executable, "-c", "raise SystemExit('no libcudart')"]
    )
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "in" / "b.png")
    with pytest.raises(LDRestoreError, match=r"died 3 times while it loaded the model \(no libcudart\)"):
        list(rows_of_devices(planned(tmp_path / "in", tmp_path / "out"), request_of, WorkerPool(workers=2)))
