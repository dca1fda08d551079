from pathlib import Path

import pytest

from ldrestore.cli.rendering import estimate_of, show_outcome, show_plan, show_report, show_run
from ldrestore.errors import CorruptImageError
from ldrestore.jobs.outcome import Ignored, Job, Outcome, Result, Status
from ldrestore.jobs.plan import Plan


def job(name):
    return Job(source=Path("in") / name, target=Path("out") / name, name=name)


def work(job):
    """Fail by the picture's name."""
    if job.name == "broken.png":
        raise CorruptImageError(job.source, "the file is cut off", "get an intact copy")
    record = {"degradations": {"rain": 0.04, "low_light": 0.98}}
    return Result(record=record, advice=("very dark; --degradation low_light brightens it",), notes=("no record",))


PLAN = Plan(
    jobs=(job("a.png"), job("broken.png"), job("z.png")),
    settled=(Outcome(job=job("c.png"), status=Status.FAILED, reason="in/c.png: no regular file"),),
    ignored=(Ignored(path=Path("in/notes.txt"), reason="no picture"),),
)


def run(plan, **options):
    return show_run(plan, work, command="restore", label="restoring", **options)


def test_failures_notes_and_advice_are_told_when_they_come(capsys):
    run(PLAN, is_quiet=False)
    assert capsys.readouterr().err.splitlines() == [
        "failed: in/c.png: no regular file",
        "warning: no record",
        "a.png: very dark; --degradation low_light brightens it",
        "failed: in/broken.png: the file is cut off; get an intact copy",
        "warning: no record",
        "z.png: very dark; --degradation low_light brightens it",
    ]
    run(PLAN, is_quiet=True)
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_what_the_model_saw_is_told_of_a_single_picture_or_when_asked_for(capsys):
    run(Plan(jobs=PLAN.jobs[:1]), is_quiet=False)
    assert "a.png: the model saw low_light 0.98" in capsys.readouterr().err
    run(PLAN, is_quiet=False, is_verbose=True)
    assert capsys.readouterr().err.count("the model saw low_light 0.98") == 2


def test_what_was_said_is_not_told_as_seen(capsys):
    record = {
        "degradations": {"haze": 0.7, "rain": 0.3, "snow": 0.0},
        "options": {"degradations": {"haze": 0.7, "rain": 0.3}},
    }
    outcome = Outcome(job=job("a.png"), status=Status.DONE, record=record)
    show_outcome(outcome, is_quiet=False, tells_estimate=True)
    assert capsys.readouterr().err.splitlines() == ["a.png: the model went by what you said: haze 0.70, rain 0.30"]
    record["options"] = {"degradations": {"haze": 1.0}}
    show_outcome(outcome, is_quiet=False, tells_estimate=True)
    assert capsys.readouterr().err.splitlines() == ["a.png: the model saw haze 0.70, rain 0.30"]


@pytest.mark.parametrize(
    ("record", "text"),
    [(None, ""), ({"degradations": None}, ""), ({"degradations": {"rain": 0.01}}, "nothing wrong")],
)
def test_models_without_an_estimate_saw_nothing_to_tell(record, text):
    assert estimate_of(Outcome(job=job("a.png"), status=Status.DONE, record=record)) == text


def test_the_summary_counts_and_the_exit_code_tells(capsys):
    report = run(PLAN, is_quiet=True)
    assert show_report(report, as_json=False, is_quiet=False) == 1
    header, values = (line.split() for line in capsys.readouterr().out.splitlines() if "done" in line or "│ 2" in line)
    assert [word for word in header if word.isalpha()] == ["done", "skipped", "failed", "ignored", "seconds"]
    assert [word for word in values if word[0].isdigit()][:4] == ["2", "0", "2", "1"]
    done = run(Plan(jobs=PLAN.jobs[:1]), is_quiet=True)
    assert show_report(done, as_json=False, is_quiet=True) == 0
    assert capsys.readouterr().out == ""


def test_ignored_files_are_named_when_asked_for(capsys):
    report = run(Plan(jobs=(), ignored=PLAN.ignored), is_quiet=True)
    show_report(report, as_json=False, is_quiet=True)
    assert "notes.txt" not in capsys.readouterr().err
    show_report(report, as_json=False, is_quiet=True, is_verbose=True)
    assert "ignored: in/notes.txt: no picture" in capsys.readouterr().err


def test_a_dry_run_lists_names_as_they_are_and_does_nothing_to_the_terminal(capsys):
    plan = Plan(jobs=(job("[red]a[/].png"), job("b\x1b[31m\n.png"), job("c\udcff.png")))
    assert show_report(show_plan(plan, command="restore"), as_json=False, is_quiet=False) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("[red]a[/].png", r"b\x1b[31m\n.png", r"c\xff.png"))
    assert "\x1b" not in shown


def test_an_empty_run_says_so(capsys):
    report = show_plan(Plan(jobs=(), ignored_folders=1), command="restore")
    assert show_report(report, as_json=False, is_quiet=True) == 0
    assert "no pictures found in IN; look into its sub-folders with --recursive" in capsys.readouterr().err
