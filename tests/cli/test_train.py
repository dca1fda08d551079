import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import yaml

from ldrestore.cli import train as train_module


@pytest.fixture
def config_file(picture, tmp_path):
    """A YAML file of a run of two steps on one small picture."""
    picture(tmp_path / "pictures" / "a.png", height=32, width=32)
    values = {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0},
        "network": {
            "name": "nafnet",
            "options": {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]},
        },
        "data": {
            "folders": [str(tmp_path / "pictures")],
            "mixture": [{"recipe": "gaussian_noise", "weight": 1}],
        },
        "stages": [{"patch_size": 16, "batch_size": 1, "steps": 2}],
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("override", "message"),
    [("run.no_such_key=1", "no_such_key"), ("nonsense", "expected key=value"), ("run.seed=-1", "seed")],
)
def test_a_wrong_value_is_a_wrong_call(call, config_file, override, message):
    result = call("train", config_file, override)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_missing_config_is_a_wrong_call(call, tmp_path):
    result = call("train", tmp_path / "missing.yaml")
    assert result.exit_code == 2
    assert "no configuration file" in result.stderr


CHILD = textwrap.dedent(
    """
    import os, pathlib, signal, subprocess, sys, time
    place = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:  # the trainer: ends by itself, a little after it was asked to
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), (place / "ended").touch(), sys.exit(0)))
        (place / "trainer").write_text(str(os.getpid()))
        time.sleep(60)
    else:  # the launcher: leaves signals to the trainer
        signal.signal(signal.SIGTERM, lambda *_: None)
        sys.exit(subprocess.run([sys.executable, *sys.argv, "trainer"]).returncode)
    """
)
"""Stands in for a launcher and its trainer, without their imports."""

PARENT = textwrap.dedent(
    """
    import sys
    from ldrestore.cli.train import _run
    try:
        sys.exit(_run([sys.executable, *sys.argv[1:]]))
    except KeyboardInterrupt:
        sys.exit(130)
    """
)


def wait_for(path):
    for _ in range(600):
        if path.exists() and (path.name != "trainer" or path.read_text()):
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} does not come")


def is_running(process):
    """Whether a process is there, and not a dead one that nobody has asked for yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def heed_interrupts():
    """Undo what a shell, or nohup, does to the programs that it starts in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
    ids=lambda value: str(value),
)
def test_signals_end_the_trainer_in_peace_and_are_waited_for(tmp_path, number, code):
    (tmp_path / "child.py").write_text(CHILD)
    command = [sys.executable, "-c", PARENT, tmp_path / "child.py", tmp_path]
    with subprocess.Popen(command, preexec_fn=heed_interrupts) as parent:
        wait_for(tmp_path / "trainer")
        parent.send_signal(number)
        assert parent.wait(60) == code
    assert (tmp_path / "ended").exists()
    assert not is_running(int((tmp_path / "trainer").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_is_left_of_a_launcher_that_dies(tmp_path):
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.exit(3)"
    with (tmp_path / "printed").open("w") as printed:
        parent = subprocess.run([sys.executable, "-c", PARENT, "-c", code], stdout=printed, check=False)
    assert parent.returncode == 3
    time.sleep(0.1)
    assert not is_running(int((tmp_path / "printed").read_text()))


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    assert train_module._run([sys.executable, "-c", "raise SystemExit(5)"]) == 5
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_run_trains_and_its_failure_is_passed_on(config_file, tmp_path):
    def train(*words):
        command = [sys.executable, "-m", "ldrestore.cli.main", "train", str(config_file), *map(str, words)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)

    outcome = train("--resume", "auto", "run.seed=3")
    assert outcome.returncode == 0, outcome.stderr
    assert (tmp_path / "run" / "metrics.jsonl").is_file()
    outcome = train("--resume", tmp_path / "no_checkpoint")
    assert outcome.returncode == 1
    assert "no_checkpoint" in outcome.stderr
    assert "CalledProcessError" not in outcome.stderr
