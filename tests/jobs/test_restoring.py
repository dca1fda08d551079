"""What lies beside a result, and when it gets there."""

import pytest

from ldrestore.images.files import read_photo
from ldrestore.jobs import restoring
from ldrestore.jobs.outcome import Job
from ldrestore.jobs.request import RestoreRequest, options_for
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.records import read_record


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
