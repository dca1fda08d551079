import functools
import io
import json
import re
import warnings

import pytest
from rich.console import Console

from ldrestore.cli.console import (
    PlainProgress,
    one_line_warnings,
    print_json,
    print_table,
    progress_bar,
    say,
    speed_of,
)
from ldrestore.errors import MetadataLossWarning


@pytest.mark.parametrize("is_reset", [False, True])
def test_what_is_left_out_is_told_once_a_kind_and_other_warnings_each_time(capsys, is_reset):
    with one_line_warnings():
        warnings.simplefilter("always")
        for _ in range(3):
            if is_reset:  # as decoders do, after which Python forgets what it has shown
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
            warnings.warn("comments: left out of the result", MetadataLossWarning, stacklevel=1)
            warnings.warn("a.png: has 3 frames", UserWarning, stacklevel=1)
    printed_lines = capsys.readouterr().err.splitlines()
    assert printed_lines.count("warning: comments: left out of the result") == 1
    assert printed_lines.count("warning: a.png: has 3 frames") == 3


@pytest.mark.parametrize(
    ("speed", "text"), [(0, ""), (3.25, "3.2 a second"), (0.25, "4.0 s each"), (1, "1.0 a second")]
)
def test_a_speed_is_told_the_way_that_is_easier_to_grasp(speed, text):
    assert speed_of(speed) == text


def test_a_log_gets_a_line_now_and_then_with_number_speed_and_time_left(capsys):
    seconds = iter(range(0, 10_000, 4))
    lines = PlainProgress("restoring", 1000, is_shown=True, now=lambda: next(seconds))
    for _ in range(20):
        lines.advance()
    assert capsys.readouterr().err.splitlines() == [
        "restoring: 8 of 1000, 4.0 s each, 1:06:08 left",
        "restoring: 16 of 1000, 4.0 s each, 1:05:36 left",
    ]
    quiet = PlainProgress("restoring", 1000, is_shown=False, now=lambda: next(seconds))
    for _ in range(20):
        quiet.advance()
    assert capsys.readouterr().err == ""


def test_the_bar_of_a_terminal_fits_80_columns_and_tells_files_speed_and_time(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    monkeypatch.setattr("ldrestore.cli.console.Console", functools.partial(Console, file=file, force_terminal=True))
    with progress_bar(is_shown=True) as bar:
        task = bar.add_task("restoring", total=1000)
        for _ in range(10):
            bar.advance(task)
        bar.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    shown = [line for line in re.split(r"[\r\n]", text) if "10/1000" in line]
    assert shown and all(len(line) <= 80 and "a second" in line and "left" in line for line in shown)


def test_cells_are_shown_as_they_are_and_do_nothing(capsys) -> None:
    cells = ("[red]a[/red]", "b\x1b[31m\nsecond line", "caf\udce9", ":smile:")
    print_table(("name", "text", "bytes", "sign"), [cells], title=None)
    shown = capsys.readouterr().out
    for text in ("[red]a[/red]", "b\\x1b[31m", "second line", "caf\\xe9", ":smile:"):
        assert text in shown
    assert "\x1b" not in shown


def test_a_document_is_the_only_thing_on_standard_output(capsys) -> None:
    say("a\nb")
    print_json({"b": 1.5, "a": "\udcff\n"})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": "\udcff\n", "b": 1.5} and list(json.loads(out)) == ["a", "b"]
    assert err == "a\\nb\n"


def test_a_short_run_and_the_last_picture_are_worth_no_line(capsys) -> None:
    times = iter([0.0, 1.0, 100.0, 200.0])
    lines = PlainProgress("restoring", 3, is_shown=True, now=lambda: next(times))
    lines.advance()
    assert capsys.readouterr().err == ""
    lines.advance()
    assert capsys.readouterr().err == "restoring: 2 of 3, 50.0 s each, 0:00:50 left\n"
    lines.advance()
    assert capsys.readouterr().err == ""
