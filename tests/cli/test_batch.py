import json
from pathlib import Path

import pytest

from ldrestore.cli.batch import make_parent, planned, report, run_plan
from ldrestore.cli.jobs import Job, Outcome, Plan, Status
from ldrestore.errors import CorruptImageError, ImageWriteError, InputError


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
    return {"model": "m"}


PLAN = Plan(
    jobs=(job("a.png"), job("broken.png"), job("wrong.png"), job("bug.png"), job("z.png")),
    settled=(Outcome(job=job("c.png"), status=Status.SKIPPED, reason="out/c.png exists"),),
    num_ignored=2,
)


def test_one_bad_picture_does_not_stop_the_rest(capsys):
    outcomes = run_plan(PLAN, work, label="working", is_quiet=False)
    assert {outcome.job.name: (outcome.status, outcome.error) for outcome in outcomes} == {
        "a.png": ("done", None),
        "broken.png": ("failed", "CorruptImageError"),
        "bug.png": ("failed", "ZeroDivisionError"),
        "c.png": ("skipped", None),
        "wrong.png": ("failed", "InputError"),
        "z.png": ("done", None),
    }
    assert capsys.readouterr().err.splitlines() == [
        "failed: in/broken.png: the file is cut off; get an intact copy",
        "failed: in/wrong.png: the mask has another size",
        "failed: in/bug.png: unexpected ZeroDivisionError: division by zero; LDRESTORE_DEBUG=1 shows where",
    ]


def test_an_interrupt_ends_the_run():
    def interrupted(job):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(PLAN, interrupted, label="working", is_quiet=False)


def test_the_summary_counts_and_the_exit_code_tells(capsys):
    outcomes = run_plan(PLAN, work, label="working", is_quiet=True)
    assert report(outcomes, PLAN, command="restore", as_json=False, is_quiet=False) == 1
    header, values = (line.split() for line in capsys.readouterr().out.splitlines() if "done" in line or "│ 2" in line)
    assert [word for word in header if word.isalpha()] == ["done", "skipped", "failed", "ignored", "seconds"]
    assert [word for word in values if word[0].isdigit()][:4] == ["2", "1", "3", "2"]
    done = Plan(jobs=(job("a.png"),))
    assert report(run_plan(done, work, label="", is_quiet=True), done, command="", as_json=False, is_quiet=True) == 0
    assert capsys.readouterr().out == ""


def test_the_document_holds_every_input(capsys):
    outcomes = run_plan(PLAN, work, label="working", is_quiet=True)
    report(outcomes, PLAN, command="restore", as_json=True, is_quiet=False)
    document = json.loads(capsys.readouterr().out)
    assert document["command"] == "restore"
    seconds = document["summary"].pop("seconds")
    assert seconds >= 0
    assert document["summary"] == {"planned": 0, "done": 2, "skipped": 1, "failed": 3, "ignored": 2}
    first, broken, *_ = document["results"]
    assert first["record"] == {"model": "m"}
    assert (broken["input"], broken["output"], broken["status"]) == ("in/broken.png", "out/broken.png", "failed")
    assert "cut off" in broken["reason"]


def test_a_dry_run_lists_names_as_they_are(capsys):
    plan = Plan(jobs=(job("[red]a[/].png"),))
    assert report(planned(plan), plan, command="restore", as_json=False, is_quiet=False) == 0
    assert "[red]a[/].png" in capsys.readouterr().out


def test_an_empty_run_says_so(capsys):
    plan = Plan(jobs=(), ignored_folders=1)
    assert report([], plan, command="restore", as_json=False, is_quiet=True) == 0
    assert "no pictures found in IN; look into its sub-folders with --recursive" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ImageWriteError, match=r"file/x\.png: its folder cannot be made .*check the permissions"):
        make_parent(tmp_path / "file" / "x.png")
