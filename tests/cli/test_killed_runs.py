"""Runs of the command that are killed with all their processes, and the same call again."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ldrestore.images.files import read_photo
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.records import read_record

NUM_PICTURES = 300
NUM_ON_RAY = 100
WAIT_SECONDS = 400
"""A run that has made nothing more by then is stuck."""


@pytest.fixture
def make_folder(picture, tmp_path):
    """`make_folder(300)`: pictures of 96 x 96 in two sub-folders, one in a hundred broken; and the names of those."""

    def make(number):
        broken = set(random.Random(20).sample(range(number), number // 100))
        names = [f"{index % 2}/{index:03}.png" for index in range(number)]
        for index, name in enumerate(names):
            path = picture(tmp_path / "in" / name, seed=index, height=96, width=96)
            if index in broken:
                path.write_bytes(path.read_bytes()[:2000])
        return tmp_path / "in", {names[index] for index in broken}

    return make


def start(model, source, target, *words):
    command = [sys.executable, "-m", "ldrestore", "restore", source, target, "--recursive", "--json", *words]
    command += ["--model", model, "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def results_in(target):
    return {path.relative_to(target).as_posix() for path in target.rglob("[!.]*.png")}


def kill_when_made(process, target, number):
    """Kill a run with all its processes once so many results are there."""
    end = time.monotonic() + WAIT_SECONDS
    while len(results_in(target)) < number and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"


def check_whole(folder, target, document, model):
    source, broken = folder
    good = {path.relative_to(source).as_posix() for path in source.rglob("*.png")} - broken
    assert results_in(target) == good
    states = {os.path.relpath(result["input"], source): result for result in document["results"]}
    assert {name for name, result in states.items() if result["status"] == "failed"} == broken
    assert all("truncated" in states[name]["reason"] or "damaged" in states[name]["reason"] for name in broken)
    worker = RestoreWorker(RestoreRequest(model=str(model), device="cpu", options=options_for(str(model), {})))
    for name in sorted(good):
        assert read_record(target / name)["input_sha256"]
    for name in sorted(good)[::37]:
        alone = target.parent / "alone.png"
        (outcome,) = run_jobs([Job(source=source / name, target=alone, name=name)], worker)
        assert np.array_equal(read_photo(alone).pixels, read_photo(target / name).pixels), outcome
        alone.unlink()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_run_that_is_killed_twice_makes_every_good_picture_once_and_names_the_broken(
    make_folder, tiny_model, tmp_path
):
    folder = make_folder(NUM_PICTURES)
    source, target = folder[0], tmp_path / "out"
    for least in (20, 120):
        process = start(tiny_model, source, target)
        kill_when_made(process, target, least + random.Random().randrange(60))
    document = json.loads(start(tiny_model, source, target).communicate()[0])
    assert document["summary"]["done"] + document["summary"]["skipped"] == NUM_PICTURES - len(folder[1])
    check_whole(folder, target, document, tiny_model)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_driver_that_is_killed_with_its_cluster_loses_nothing(make_folder, tiny_model, tmp_path):
    folder = make_folder(NUM_ON_RAY)
    source, target = folder[0], tmp_path / "out"
    words = ("--engine", "ray", "--workers", "2")
    process = start(tiny_model, source, target, *words)
    kill_when_made(process, target, 20)
    document = json.loads(start(tiny_model, source, target, *words).communicate()[0])
    assert document["summary"]["done"] > 0
    check_whole(folder, target, document, tiny_model)
