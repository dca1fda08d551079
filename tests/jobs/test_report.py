import json
from pathlib import Path

from ldrestore.jobs.outcome import Ignored, Job, Outcome, Status
from ldrestore.jobs.plan import Plan
from ldrestore.jobs.report import RunReport, report_of


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


def test_pictures_elsewhere_are_told_by_their_addresses() -> None:
    far = Job(
        source=Path("a.png"),
        target=Path("a.png"),
        name="a.png",
        source_url="s3://in/a.png",
        target_url="s3://out/a.png",
    )
    (line,) = RunReport(command="restore", outcomes=(Outcome(job=far, status=Status.DONE),)).document()["results"]
    assert (line["input"], line["output"]) == ("s3://in/a.png", "s3://out/a.png")


def test_jobs_without_an_outcome_were_cancelled_and_that_is_no_failure() -> None:
    jobs = tuple(Job(source=Path(name), target=Path("out") / name, name=name) for name in ("c.png", "a.png", "b.png"))
    settled = (Outcome(job=jobs[0], status=Status.SKIPPED, reason="exists"),)
    report = report_of(Plan(jobs=jobs[1:], settled=settled), (), command="restore")
    assert [(outcome.job.name, outcome.status.value) for outcome in report.outcomes] == [
        ("a.png", "cancelled"),
        ("b.png", "cancelled"),
        ("c.png", "skipped"),
    ]
    assert report.exit_code == 0 and report.document()["summary"]["cancelled"] == 2


def test_a_document_is_plain_json_whatever_names_and_records_hold() -> None:
    job = Job(source=Path("caf\udce9.png"), target=Path("out/caf\udce9.png"), name="caf\udce9.png")
    outcome = Outcome(job=job, status=Status.DONE, record={"options": {"instruction": "a\n\udcff"}}, seconds=1.23456)
    text = json.dumps(RunReport(command="restore", outcomes=(outcome,)).document())
    assert text.isascii()
    (line,) = json.loads(text)["results"]
    assert line["input"] == "caf\udce9.png" and line["seconds"] == 1.235
