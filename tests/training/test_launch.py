import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from ldrestore.training import launch


@pytest.mark.parametrize(
    "error",
    [
        subprocess.CalledProcessError(2, "trainer"),
        ChildFailedError("trainer", {0: ProcessFailure(local_rank=0, pid=1, exitcode=1, error_file="<none>")}),
    ],
)
def test_a_trainer_that_fails_is_an_exit_code_and_no_traceback(error, monkeypatch):
    def fail(options):
        assert (options.training_script, options.training_script_args) == ("ldrestore.training", ["a.yaml"])
        raise error

    monkeypatch.setattr("accelerate.commands.launch.launch_command", fail)
    assert launch.main(["-m", "ldrestore.training", "a.yaml"]) == 1
    monkeypatch.setattr("accelerate.commands.launch.launch_command", lambda options: None)
    assert launch.main(["-m", "ldrestore.training", "a.yaml"]) == 0


def test_a_signal_that_ended_several_processes_is_its_number(monkeypatch):
    def fail(options):
        raise SignalException("process got signal", sigval=signal.SIGTERM)

    monkeypatch.setattr("accelerate.commands.launch.launch_command", fail)
    assert launch.main(["-m", "ldrestore.training", "a.yaml"]) == 143


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_launcher_ends_with_its_parent(tmp_path):
    launcher = (
        "import time; from ldrestore.training.launch import end_with_parent; end_with_parent(); "
        "print('watching', flush=True); time.sleep(90)"
    )
    parent = (
        "import subprocess, sys, os, signal; command = [sys.executable, '-c', sys.argv[1]]; "
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True); "
        "child.stdout.readline(); print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    printed = subprocess.run([sys.executable, "-c", parent, launcher], capture_output=True, text=True, check=False)
    state = Path(f"/proc/{int(printed.stdout)}/stat")
    for _ in range(300):
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    os.kill(int(printed.stdout), signal.SIGKILL)
    raise AssertionError("the launcher outlives its parent")
