from pathlib import Path

from ldrestore.jobs.outcome import Ignored, Job, Outcome, Status
from ldrestore.jobs.plan import Plan
from ldrestore.jobs.report import report_of


def job(name):
    return Job(source=Path("in") / name, target=Path("out") / name, name=name)


PLAN = Plan(
    jobs=(job("a.png"), job("b.png"), job("z.png")),
    settled=(Outcome(job=job("c.png"), status=Status.SKIPPED, reason="out/c.png exists"),),
    ignored=(Ignored(path=Path("in/notes.txt"), reason="no picture"),),
    ignored_folders=2,
)
ENDED = [
    Outcome(job=job("b.png"), status=Status.FAILED, reason="in/b.png: cut off", error="CorruptImageError", seconds=1.5),
    Outcome(job=job("a.png"), status=Status.DONE, record={"model": "m"}, advice=("very dark",), notes=("no record",)),
]


def test_the_document_holds_every_input_in_order():
    report = report_of(PLAN, ENDED, command="restore")
    document = report.document()
    assert document["command"] == "restore"
    assert document["summary"] == {
        "planned": 0,
        "done": 1,
        "skipped": 1,
        "failed": 1,
        "cancelled": 1,
        "ignored": 1,
        "seconds": 1.5,
    }
    first, broken, skipped, left = document["results"]
    assert (first["record"], first["advice"], first["notes"]) == ({"model": "m"}, ["very dark"], ["no record"])
    assert (broken["input"], broken["output"], broken["error"]) == ("in/b.png", "out/b.png", "CorruptImageError")
    assert (skipped["status"], skipped["reason"]) == ("skipped", "out/c.png exists")
    assert left["status"] == "cancelled"
    assert document["ignored"] == [{"input": "in/notes.txt", "reason": "no picture"}]


def test_the_exit_code_tells_of_failures_alone():
    assert report_of(PLAN, ENDED, command="restore").exit_code == 1
    assert report_of(PLAN, ENDED[1:], command="restore").exit_code == 0


def test_a_dry_run_plans_what_has_no_outcome():
    report = report_of(PLAN, (), command="restore", is_dry=True)
    assert [outcome.status for outcome in report.outcomes] == ["planned", "planned", "skipped", "planned"]
    assert report.ignored_folders == 2
