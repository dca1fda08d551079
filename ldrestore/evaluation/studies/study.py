"""The skeleton that all studies share: options, rows that a stopped run goes on from, and the report.

A study is its rows and what measures them. Where a row is a picture restored and scored, the harness itself measures:
`restored` runs a suite over contestants, with results.json, table.md and report.html. Where it is something else, such
as seconds, `measured_rows` keeps one row after the other in NAME.json. Either way NAME.md is the report, which is made
of the file alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ldrestore.config import build, set_override
from ldrestore.errors import InputError
from ldrestore.evaluation.benchmarking import BenchOptions, evaluate
from ldrestore.evaluation.contestants import Contestant
from ldrestore.evaluation.environments import environment_of
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.stored_files import read_json_or_none, write_text
from ldrestore.evaluation.studies.catalog import STUDIES
from ldrestore.evaluation.suites import SuiteConfig
from ldrestore.registry import resolve

Options = TypeVar("Options")
Document = TypeVar("Document")
Rows = Mapping[str, Mapping[str, Any]]
"""Name of a row to its plain values, "settings" and "environment" among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCall:
    """What every study is given, beside its own options."""

    out_dir: Path
    """Where everything goes."""
    models: tuple[str, ...] = ()
    """As `--model` takes them."""
    data_root: Path | None = None
    """The folder that sets lie in."""
    device: str = "cpu"
    """Where models compute."""
    limit: int | None = None
    """The most pictures of each dataset."""
    is_fresh: bool = False
    """Whether rows are measured again that are there."""
    say: Callable[[str], None] = lambda message: None
    """Is told of what is done and what fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study(Generic[Options, Document]):
    """What is asked, and how its answer is written down."""

    options: type[Options]
    """A frozen dataclass, filled from key=value words."""
    measure: Callable[[Options, StudyCall], Document]
    """Measures what is not there yet; what it gives can be read from the files again."""
    report: Callable[[Document], str]
    """Markdown of the document alone."""


def run_study(name: str, words: Sequence[str], call: StudyCall) -> str:
    """Measure what a study lacks, and write its report.

    Args:
        name: See `ldrestore.evaluation.studies.catalog`.
        words: Its options as key=value, values read as YAML.
        call: Everything else.

    Returns:
        The report, which also lies at OUT/NAME.md.

    Raises:
        UnknownNameError: no such study.
        ConfigError: an option is unknown, missing or wrong.
        LDRestoreError: nothing could be begun.
    """
    study: Study[Any, Any] = resolve(STUDIES.get(name).target)
    values: dict[str, Any] = {}
    for word in words:
        set_override(values, word)
    options = build(study.options, values, where=f"study {name}")
    text = study.report(study.measure(options, call))
    write_text(call.out_dir / f"{name}.md", text)
    return text


def restored(suite: SuiteConfig, contestants: Sequence[Contestant], call: StudyCall, *, part: str = "") -> Results:
    """Rows that the harness measures: a suite over contestants, beside the untouched input.

    Args:
        suite: Which pictures.
        contestants: Who restores them.
        call: Of the study.
        part: Folder below OUT, for a study of several suites.
    """
    options = BenchOptions(
        data_root=call.data_root, device=call.device, limit=call.limit, is_fresh=call.is_fresh, has_input=not part
    )
    return evaluate(suite, contestants, call.out_dir / part, options=options, say=call.say)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """A row that the study itself measures."""

    name: str
    """In tables, unique."""
    settings: Mapping[str, Any]
    """What its values hang on beside the environment, in plain values without paths of this machine."""
    measure: Callable[[], Mapping[str, Any]]
    """Its plain values."""


def measured_rows(study: str, rows: Sequence[StudyRow], call: StudyCall) -> Rows:
    """Measure the rows that the study's file lacks, each kept at once; rows of other settings stay beside them.

    Args:
        study: Name of the file in OUT.
        rows: What is wanted.
        call: Of the study.

    Returns:
        All rows of the file, those of earlier calls first.

    Raises:
        InputError: a wanted row is there from another environment or other settings, and may not be measured again.
    """
    path = call.out_dir / f"{study}.json"
    known: dict[str, Any] = (read_json_or_none(path) or {}).get("rows", {})
    environment = environment_of(call.device)
    for row in rows:
        same = {"settings": dict(row.settings), "environment": environment}
        if row.name in known and not call.is_fresh:
            _check_same(known[row.name], same, f"{path}, {row.name}")
            continue
        known[row.name] = {**row.measure(), **same}
        call.say(f"{study}: {row.name}")
        write_text(path, rows_as_text(study, known))
    return known


def rows_as_text(study: str, rows: Rows) -> str:
    """The file of a study's rows: JSON, one row a line."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    return f'{{\n "study": {json.dumps(study)},\n "rows": {{\n{lines}\n }}\n}}\n'


def one_model(call: StudyCall, study: str) -> str:
    """The only model of a call.

    Raises:
        InputError: none, or several.
    """
    if len(call.models) != 1:
        raise InputError(f"the study {study} takes one --model, got {len(call.models)}")
    return call.models[0]


def _check_same(row: Mapping[str, Any], same: Mapping[str, Any], place: str) -> None:
    """Refuse a row that was measured of something else, or elsewhere.

    Raises:
        InputError: it was.
    """
    others = [key for key, value in same.items() if row.get(key) != value]
    if others:
        raise InputError(
            f"{place} is of another {' and '.join(others)}; measure again with --fresh, or choose another --out"
        )
