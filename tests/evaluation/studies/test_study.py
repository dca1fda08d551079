import json
from dataclasses import dataclass, replace

import pytest

from ldrestore.errors import ConfigError, InputError, UnknownNameError
from ldrestore.evaluation.studies import study as skeleton
from ldrestore.evaluation.studies.catalog import STUDIES
from ldrestore.evaluation.studies.study import Study, StudyRow, measured_rows, one_model, run_study
from ldrestore.registry import resolve


@dataclass(frozen=True, kw_only=True)
class Options:
    side: int = 3


def row_of(name, measurements, *, side=3):
    """A row that tells when it is measured."""
    return StudyRow(name=name, settings={"side": side}, measure=lambda: measurements.append(name) or {"value": side})


def test_a_stopped_study_goes_on_with_the_row_that_it_lacks(call):
    measurements = []
    measured_rows("speed", [row_of("a", measurements)], call())
    rows = measured_rows("speed", [row_of("a", measurements), row_of("b", measurements)], call())
    assert measurements == ["a", "b"] and list(rows) == ["a", "b"]
    stored = json.loads((call().out_dir / "speed.json").read_text())
    assert stored == {"study": "speed", "rows": rows}
    assert rows["b"]["value"] == 3 and rows["b"]["environment"]["threads"] >= 1
    measured_rows("speed", [row_of("b", measurements)], call(is_fresh=True))
    assert measurements == ["a", "b", "b"]


def test_each_row_lies_on_disk_before_the_next_is_measured(call):
    def stop():
        raise KeyboardInterrupt

    rows = [row_of("a", []), StudyRow(name="b", settings={}, measure=stop)]
    with pytest.raises(KeyboardInterrupt):
        measured_rows("speed", rows, call())
    assert list(json.loads((call().out_dir / "speed.json").read_text())["rows"]) == ["a"]
    assert [path.name for path in call().out_dir.iterdir()] == ["speed.json"]


@pytest.mark.parametrize("other", ["settings", "environment"])
def test_rows_of_something_else_are_refused_and_measured_again_if_told(call, monkeypatch, other):
    measured_rows("speed", [row_of("a", [])], call())
    side = 4 if other == "settings" else 3
    if other == "environment":
        monkeypatch.setattr(skeleton, "environment_of", lambda device: {"device": "another"})
    with pytest.raises(InputError, match=rf"speed.json, a is of another {other}; measure again with --fresh"):
        measured_rows("speed", [row_of("a", [], side=side)], call())
    measurements = []
    measured_rows("speed", [row_of("a", measurements, side=side)], call(is_fresh=True))
    assert measurements == ["a"]


def test_options_come_from_words_and_the_report_lies_beside(call, monkeypatch):
    study = Study(options=Options, measure=lambda options, call: options.side, report=lambda side: f"# {side}\n")
    monkeypatch.setattr(skeleton, "resolve", lambda target: study)
    assert run_study("damage", ["side=7"], call()) == "# 7\n"
    assert (call().out_dir / "damage.md").read_text() == "# 7\n"
    with pytest.raises(ConfigError, match=r"study damage: .*'?sid'?.*side"):
        run_study("damage", ["sid=7"], call())
    with pytest.raises(ConfigError, match="expected key=value"):
        run_study("damage", ["side"], call())


def test_an_unknown_study_gets_the_closest_name(call):
    with pytest.raises(UnknownNameError, match="stable-cost"):
        run_study("stable-costs", [], call())


@pytest.mark.parametrize("record", list(STUDIES), ids=lambda record: record.name)
def test_every_record_leads_to_a_study(record):
    assert isinstance(resolve(record.target), Study) and record.summary.endswith(".")


def test_one_model_is_wanted(call):
    assert one_model(call("a"), "stable-parts") == "a"
    for given in (call(), call("a", "b")):
        with pytest.raises(InputError, match="the study stable-parts takes one --model, got"):
            one_model(given, "stable-parts")


def test_calls_keep_what_is_not_said(call):
    assert replace(call(), limit=None).device == "cpu"
