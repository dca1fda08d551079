import subprocess
import sys
from pathlib import Path

import pytest
import torch
from run_files import assert_equal_to_the_bit, final_state, metrics
from tiny_run import run_tiny, tiny_config

from ldrestore.errors import ConfigError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def launch(*arguments: str | Path) -> None:
    """Run tiny_run.py in two processes on the CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(Path(__file__).with_name("tiny_run.py")), *map(str, arguments)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_two_processes_equal_one_with_twice_the_batch(tmp_path):
    launch(tmp_path / "two", "dropout=0")
    stages = "stages=[{patch_size: 8, batch_size: 4, steps: 8}, {patch_size: 12, batch_size: 2, steps: 10}]"
    assert run_tiny(tiny_config(tmp_path / "one", "dropout=0", stages))
    two, one = final_state(tmp_path / "two"), final_state(tmp_path / "one")
    torch.testing.assert_close((two["model"], two["ema"]), (one["model"], one["ema"]))
    for left, right in zip(metrics(tmp_path / "two"), metrics(tmp_path / "one"), strict=True):
        for line in (left, right):
            line.pop("squared", None)  # the square of a batch's mean depends on the size of the batch
        assert left == pytest.approx(right, rel=1e-4)


def test_two_processes_resume_to_the_bit_after_one_was_asked_to_stop(tmp_path):
    launch(tmp_path / "straight")
    launch(tmp_path / "broken", "--interrupt-at", "11")  # process 0 gets the signal, in the sixth step
    assert final_state(tmp_path / "broken")["name"] == "step_00000006"
    with pytest.raises(ConfigError, match="was written by 2 processes, this run has 1"):
        run_tiny(tiny_config(tmp_path / "broken"), resume="auto")
    launch(tmp_path / "broken", "--resume", "auto")
    state = final_state(tmp_path / "broken")
    assert len(state["processes"]) == 2
    assert_equal_to_the_bit(state, final_state(tmp_path / "straight"))
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "straight")
