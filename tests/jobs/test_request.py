import dataclasses
import pickle

import numpy as np
import pytest

from ldrestore.errors import InputError, RunCancelledError
from ldrestore.images.files import read_photo
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker, load_pipeline
from ldrestore.options import FastRestoreOptions


@pytest.fixture
def request_of(tiny_model):
    """`request_of(scale=2, ...)` asks the tiny model for it."""

    def make(**given):
        return RestoreRequest(model=str(tiny_model), device="cpu", options=options_for(str(tiny_model), given))

    return make


def test_a_request_is_frozen_and_pickles(request_of):
    request = request_of(scale=2, tile=512)
    assert pickle.loads(pickle.dumps(request)) == request
    assert request.options == FastRestoreOptions(scale=2, tile=512)
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.model = "other"


def test_a_worker_of_a_pickled_request_gives_the_same_pixels(request_of, picture, tmp_path):
    job = Job(source=picture(tmp_path / "a.png"), target=tmp_path / "b.png", name="a.png")
    result = RestoreWorker(pickle.loads(pickle.dumps(request_of())))(job)
    again = RestoreWorker(request_of()).restore(read_photo(job.source))
    assert np.array_equal(read_photo(job.target).pixels, again.photos[0].pixels)
    assert {key: value for key, value in result.record.items() if key != "file"} == again.records[0]


def test_another_tracks_option_is_refused_before_anything_is_loaded(request_of):
    with pytest.raises(InputError, match="--steps is for models of the stable or xl track"):
        request_of(num_inference_steps=3)
    with pytest.raises(InputError, match="quality must lie in"):
        RestoreRequest(quality=0)


def test_a_result_that_its_format_cannot_hold_is_refused_before_anything_is_computed(request_of, picture, tmp_path):
    worker = RestoreWorker(request_of())
    worker.restore = None  # called by nobody
    job = Job(source=picture(tmp_path / "a.png", height=1, width=16_400), target=tmp_path / "b.webp", name="a.png")
    with pytest.raises(OSError, match="WEBP holds at most 16383 pixels a side"):
        worker(job)
    assert not (tmp_path / "b.webp").exists()


def test_a_loaded_model_serves_many_requests_and_tells_each_tile(request_of, picture, tmp_path):
    pipeline = load_pipeline(request_of())
    steps = []
    worker = RestoreWorker(
        request_of(tile=64), pipeline=pipeline, on_step=lambda done, total: steps.append((done, total))
    )
    assert worker.pipeline is pipeline
    worker(Job(source=picture(tmp_path / "a.png", height=64, width=100), target=tmp_path / "b.png", name="a.png"))
    assert steps == [(0, 2), (1, 2), (2, 2)]


def test_what_a_step_raises_ends_the_picture_and_leaves_nothing_behind(request_of, picture, tmp_path):
    def stop(done, total):
        if done:
            raise RunCancelledError("called off")

    pipeline = load_pipeline(request_of())
    worker = RestoreWorker(request_of(), pipeline=pipeline, on_step=stop)
    job = Job(source=picture(tmp_path / "a.png"), target=tmp_path / "out" / "b.png", name="a.png")
    with pytest.raises(RunCancelledError):
        worker(job)
    assert list(job.target.parent.iterdir()) == []
    RestoreWorker(request_of(), pipeline=pipeline, on_step=lambda done, total: None)(job)
    assert job.target.is_file()
