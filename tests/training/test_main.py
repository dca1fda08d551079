"""The command of the trainers: its words, its exit codes, and what it says of each error."""

import errno
import logging
import os
from pathlib import Path

import pytest

from ldrestore.errors import ConfigError, DatasetError, OtherProcessError
from ldrestore.training import __main__ as command


def run(monkeypatch: pytest.MonkeyPatch, *words: str, outcome: bool | BaseException = True) -> tuple[int, list[dict]]:
    """Exit code, and how trainers were called."""
    calls = []

    def train(path: Path, **options: object) -> bool:
        calls.append({"path": path, **options})
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(command, "train_by_config", train)
    return command.main(list(words)), calls


@pytest.mark.parametrize(
    ("words", "overrides", "resume", "skips_damaged"),
    [
        ((), [], None, False),
        (("run.seed=1", "ema=null"), ["run.seed=1", "ema=null"], None, False),
        (("--resume", "auto", "run.seed=1"), ["run.seed=1"], "auto", False),
        (("run.seed=1", "--resume", "folder", "ema=null"), ["run.seed=1", "ema=null"], "folder", False),
        (("--resume", "auto", "--skip-damaged"), [], "auto", True),
    ],
)
def test_words_reach_the_trainer_in_whatever_order(
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    overrides: list[str],
    resume: str | None,
    skips_damaged: bool,
) -> None:
    code, calls = run(monkeypatch, "a.yaml", *words)
    expected = {"path": Path("a.yaml"), "overrides": overrides, "resume": resume, "skips_damaged": skips_damaged}
    assert code == 0 and calls == [expected]


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (True, 0, ""),
        (False, 0, "stopped by a signal; go on with --resume auto"),
        (ConfigError("unknown key 'sead'"), 2, "unknown key 'sead'"),
        (DatasetError("a.png: cannot be read"), 1, "a.png: cannot be read"),
        (OtherProcessError("process 1 of the run failed"), 1, ""),
        (KeyboardInterrupt(), 130, "interrupted; go on with --resume auto"),
        (
            OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "runs/long"),
            1,
            "runs/long: File name too long; check the path and its permissions",
        ),
    ],
)
def test_each_end_has_its_code_and_its_line(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    outcome: bool | BaseException,
    code: int,
    message: str,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert run(monkeypatch, "a.yaml", outcome=outcome)[0] == code
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ([message] if message else [])


@pytest.mark.parametrize("fault", [OSError("without a file"), ZeroDivisionError()])
def test_faults_of_the_code_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    with pytest.raises(type(fault)):
        run(monkeypatch, "a.yaml", outcome=fault)


@pytest.mark.parametrize("words", [(), ("a.yaml", "--resum"), ("a.yaml", "--unknown", "1")])
def test_wrong_words_end_with_the_usage(capsys: pytest.CaptureFixture, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(list(words))
    assert caught.value.code == 2
    assert "usage: python -m ldrestore.training" in capsys.readouterr().err
