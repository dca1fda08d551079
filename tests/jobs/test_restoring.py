"""What lies beside a result, and when it gets there."""

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import ImageWriteError
from ldrestore.images.files import read_photo
from ldrestore.jobs import restoring
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker, changes_path
from ldrestore.jobs.runner import run_jobs
from ldrestore.records import read_record, record_path
from ldrestore.weights.hashes import hash_of_file


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def worker(tiny_model):
    return RestoreWorker(RestoreRequest(model=str(tiny_model), device="cpu", options=options_for(str(tiny_model), {})))


def test_a_run_that_ends_before_the_record_is_written_leaves_no_picture(worker, picture, tmp_path, monkeypatch):
    job = Job(source=picture(tmp_path / "a.png"), target=tmp_path / "out.png", name="a.png")

    def end(record, path):
        raise KilledError

    write = restoring.write_record
    monkeypatch.setattr(restoring, "write_record", end)
    with pytest.raises(KilledError):
        worker(job)
    assert not job.target.exists()
    monkeypatch.setattr(restoring, "write_record", write)
    worker(job)
    assert read_photo(job.target).pixels.shape == read_photo(job.source).pixels.shape
    assert read_record(job.target)["file"]["sha256"]


def worker_of(model, **request):
    options = options_for(str(model), request.pop("options", {}))
    return RestoreWorker(RestoreRequest(model=str(model), device="cpu", options=options, **request))


def job_of(source, target):
    return Job(source=source, target=target, name=source.name)


@pytest.mark.parametrize("moment", ["write_record", "write_changes"])
def test_a_run_that_is_killed_beside_a_picture_is_gone_on_with(
    tiny_model, picture, tmp_path, monkeypatch, moment
) -> None:
    worker = worker_of(tiny_model, has_changes=True)
    job = job_of(picture(tmp_path / "a.png"), tmp_path / "out" / "a.png")

    def end(*words):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(restoring, moment, end)
        with pytest.raises(KilledError):
            worker(job)
    left = {path.name for path in job.target.parent.iterdir()}
    assert left <= {"a.png.json"}  # no picture, and nothing half-written
    (again,) = run_jobs([job], worker)
    assert again.status.value == "done" and again.notes == ()
    assert {path.name for path in job.target.parent.iterdir()} == {"a.png", "a.png.json", "a.png.changes.png"}
    assert read_record(job.target)["file"]["sha256"] == hash_of_file(job.target)


def test_a_picture_that_somebody_puts_there_meanwhile_stays(tiny_model, picture, tmp_path, monkeypatch) -> None:
    worker = worker_of(tiny_model)
    job = job_of(picture(tmp_path / "a.png"), tmp_path / "out" / "a.png")
    restore = worker.pipeline.restore

    def slow(photo, options):
        output = restore(photo, options)
        job.target.write_bytes(b"mine")
        return output

    monkeypatch.setattr(worker.pipeline, "restore", slow)
    (outcome,) = run_jobs([job], worker)
    assert outcome.status.value == "failed" and outcome.error == "OutputExistsError"
    assert job.target.read_bytes() == b"mine"
    assert not list(job.target.parent.glob(".*"))


def test_what_lies_beside_may_fail_and_the_picture_is_done(tiny_model, picture, tmp_path, monkeypatch) -> None:
    def full(changes, path):
        raise ImageWriteError(path, "cannot be written (No space left on device)", "make room")

    monkeypatch.setattr(restoring, "write_changes", full)
    job = job_of(picture(tmp_path / "a.png"), tmp_path / "out.png")
    (outcome,) = run_jobs([job], worker_of(tiny_model, has_changes=True))
    assert outcome.status.value == "done" and job.target.is_file() and record_path(job.target).is_file()
    (note,) = outcome.notes
    assert "out.png.changes.png: cannot be written" in note


def test_a_disk_that_fills_at_the_picture_leaves_nothing_but_a_reason(
    tiny_model, picture, tmp_path, monkeypatch
) -> None:
    def full(*words, **options):
        raise ImageWriteError(tmp_path / "out" / "a.png", "cannot be written (No space left on device)", "make room")

    monkeypatch.setattr(restoring, "write_photo", full)
    job = job_of(picture(tmp_path / "a.png"), tmp_path / "out" / "a.png")
    (outcome,) = run_jobs([job], worker_of(tiny_model))
    assert outcome.status.value == "failed" and "No space left on device" in outcome.reason
    assert list((tmp_path / "out").iterdir()) == []


def test_what_must_stay_stays_in_every_picture_and_is_black_on_the_map(tiny_model, picture, tmp_path) -> None:
    source = picture(tmp_path / "a.png", height=40, width=480)
    mask = np.zeros((40, 480), np.uint8)
    mask[:, :240] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    options = {"protect": tmp_path / "mask.png", "fidelity": 0.1, "keep_grain": 0.5}
    job = job_of(source, tmp_path / "out.png")
    worker_of(tiny_model, has_changes=True, options=options)(job)
    before, after = (read_photo(path).pixels for path in (source, job.target))
    assert np.array_equal(before[:, :240], after[:, :240]) and (before[:, 240:] != after[:, 240:]).any()
    changes = read_photo(changes_path(job.target)).pixels[:40]
    assert not changes[:, :239].any() and changes[:, 241:].any()
    record = read_record(job.target)["options"]
    assert record["protect_sha256"] and (record["fidelity"], record["keep_grain"]) == (0.1, 0.5)


@pytest.mark.parametrize("scale", [1, 3])
def test_fidelity_leads_to_the_input_step_by_step_at_every_size(tiny_model, picture, tmp_path, scale) -> None:
    source = picture(tmp_path / "a.png", height=24, width=30)
    results = []
    for number, fidelity in enumerate((0.0, 0.3, 0.6, 1.0)):
        job = job_of(source, tmp_path / f"{number}.png")
        worker_of(tiny_model, options={"fidelity": fidelity, "scale": scale})(job)
        results.append(read_photo(job.target).pixels.astype(float))
    assert results[0].shape == (24 * scale, 30 * scale, 3)
    distances = [np.square(result - results[-1]).mean() for result in results]
    assert distances == sorted(distances, reverse=True) and len(set(distances)) == 4
    if scale == 1:
        assert np.array_equal(results[-1], read_photo(source).pixels)


def test_thumbnails_are_made_where_a_report_wants_them(tiny_model, picture, tmp_path) -> None:
    source = picture(tmp_path / "a.png")
    without = worker_of(tiny_model)(job_of(source, tmp_path / "x.png"))
    before, after = worker_of(tiny_model, has_thumbnails=True)(job_of(source, tmp_path / "y.png")).thumbnails
    assert without.thumbnails is None
    assert before[:2] == after[:2] == b"\xff\xd8" and before != after


def test_a_record_of_ours_is_replaced_and_a_strangers_file_is_not(tiny_model, picture, tmp_path) -> None:
    worker, source = worker_of(tiny_model), picture(tmp_path / "a.png")
    for number, text in enumerate(('{"ldrestore": "0.0.1"}', '{"album": 1}', "[", "7", "\xff")):
        job = job_of(source, tmp_path / f"out{number}.png")
        record_path(job.target).write_text(text, encoding="latin-1")
        (outcome,) = run_jobs([job], worker)
        assert (outcome.status.value == "done") is (number == 0) is job.target.exists()
        if number:
            assert outcome.error == "OutputExistsError" and "--no-record" in outcome.reason
            assert record_path(job.target).read_text(encoding="latin-1") == text
