import itertools
from pathlib import Path

import pytest

from ldrestore.errors import CorruptImageError, ImageWriteError, InputError, RunCancelledError
from ldrestore.jobs.outcome import Job, Result, Status
from ldrestore.jobs.runner import make_parent, run_jobs


def job(name):
    return Job(source=Path("in") / name, target=Path("out") / name, name=name)


def work(job):
    """Fail in one way or another, by the picture's name."""
    if job.name == "broken.png":
        raise CorruptImageError(job.source, "the file is cut off", "get an intact copy")
    if job.name == "wrong.png":
        raise InputError("the mask has another size")
    if job.name == "bug.png":
        raise ZeroDivisionError("division by zero")
    return Result(record={"model": "m"}, advice=("very dark",))


JOBS = (job("a.png"), job("broken.png"), job("wrong.png"), job("bug.png"), job("z.png"))


def test_one_bad_picture_does_not_stop_the_rest():
    outcomes = list(run_jobs(JOBS, work))
    assert {outcome.job.name: (outcome.status, outcome.error) for outcome in outcomes} == {
        "a.png": ("done", None),
        "broken.png": ("failed", "CorruptImageError"),
        "bug.png": ("failed", "ZeroDivisionError"),
        "wrong.png": ("failed", "InputError"),
        "z.png": ("done", None),
    }
    assert [outcome.reason for outcome in outcomes if outcome.status is Status.FAILED] == [
        "in/broken.png: the file is cut off; get an intact copy",
        "in/wrong.png: the mask has another size",
        "in/bug.png: unexpected ZeroDivisionError: division by zero; LDRESTORE_DEBUG=1 shows where",
    ]
    assert outcomes[0].record == {"model": "m"}
    assert outcomes[0].advice == ("very dark",)


def test_jobs_are_drawn_one_at_a_time_and_told_as_they_begin():
    begun = []

    def endless():
        for index in range(10**9):
            assert len(begun) == index
            yield job(f"{index}.png")

    outcomes = itertools.islice(run_jobs(endless(), work, on_start=begun.append), 3)
    assert [outcome.job.name for outcome in outcomes] == ["0.png", "1.png", "2.png"]
    assert [one.name for one in begun] == ["0.png", "1.png", "2.png"]


def test_a_cancelled_run_leaves_the_rest():
    begun = []
    outcomes = run_jobs(JOBS, work, on_start=begun.append, is_cancelled=lambda: len(begun) == 2)
    assert [outcome.job.name for outcome in outcomes] == ["a.png", "broken.png"]


def test_what_another_run_works_on_is_done_at_the_end(monkeypatch):
    monkeypatch.setattr("ldrestore.jobs.runner.WAIT_SECONDS", 0)
    tries = []

    def sometimes_busy(job):
        tries.append(job.name)
        return Result(is_busy=job.name == "a.png" and tries.count("a.png") < 3)

    outcomes = list(run_jobs(JOBS[:2], sometimes_busy))
    assert [outcome.job.name for outcome in outcomes] == ["broken.png", "a.png"]
    assert tries == ["a.png", "broken.png", "a.png", "a.png"]


def test_an_interrupt_ends_the_run():
    def interrupted(job):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(JOBS, interrupted))


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageWriteError, match=r"file/x\.png: its folder cannot be made .*check the permissions"):
        make_parent(tmp_path / "file" / "x.png")


def test_work_that_is_called_off_in_the_middle_is_cancelled_and_not_failed():
    def called_off(job):
        raise RunCancelledError("nobody waits for it any more")

    (outcome,) = run_jobs(JOBS[:1], called_off)
    assert (outcome.status, outcome.reason) == (Status.CANCELLED, "nobody waits for it any more")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RecursionError("deep"), OSError(28, "No space left on device"), UnicodeError("é\x1b[31m\nx")],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_picture_raises_is_one_line_that_names_it(error) -> None:
    def fail(job):
        raise error

    first, second = run_jobs([job("a\nb\x1b[31m.png"), job("c.png")], fail)
    assert first.status is second.status is Status.FAILED
    assert first.reason.isprintable() and "a\\nb\\x1b[31m.png: unexpected" in first.reason
    assert first.error == type(error).__name__ and first.seconds >= 0


def test_a_picture_that_stays_busy_is_waited_for_until_the_run_is_called_off(monkeypatch) -> None:
    monkeypatch.setattr("ldrestore.jobs.runner.WAIT_SECONDS", 0.0)
    looks = []

    def busy(job):
        looks.append(job.name)
        return Result(is_busy=True)

    assert list(run_jobs([job("a.png")], busy, is_cancelled=lambda: len(looks) >= 3)) == []
    assert looks == ["a.png"] * 3


def test_nothing_to_do_is_done_at_once() -> None:
    assert list(run_jobs([], work)) == []
    assert list(run_jobs([job("a.png")], work, is_cancelled=lambda: True)) == []


def test_what_is_skipped_says_why_and_counts_as_no_failure() -> None:
    (outcome,) = run_jobs([job("a.png")], lambda _: Result(skipped="a.png exists", notes=("a note",)))
    assert (outcome.status, outcome.reason, outcome.error) == (Status.SKIPPED, "a.png exists", None)
    assert outcome.notes == ("a note",)
