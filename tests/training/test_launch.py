import subprocess

import pytest
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
