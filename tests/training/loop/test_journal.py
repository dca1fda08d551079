import json

import pytest
import torch
from accelerate import Accelerator

from ldrestore.errors import LDRestoreError
from ldrestore.training.loop.journal import Journal, LossWindow, Stopwatch


@pytest.fixture
def accelerator():
    return Accelerator(cpu=True)


def test_window_gives_means_and_survives_saving(accelerator):
    window, other = LossWindow(), LossWindow()
    for value in (0.1, 0.2):
        window.add({"loss": torch.tensor(value)})
    other.load_state_dict(json.loads(json.dumps(window.state_dict())), device=torch.device("cpu"))
    for each in (window, other):
        each.add({"loss": torch.tensor(0.3)})
    assert window.mean(accelerator, step=1) == other.mean(accelerator, step=1)
    assert window.mean(accelerator, step=1)["loss"] == pytest.approx(0.2)


def test_a_loss_that_is_not_finite_ends_the_run(accelerator):
    window = LossWindow()
    window.add({"loss": torch.tensor(float("nan"))})
    with pytest.raises(LDRestoreError, match=r"training diverged: .*nan.* at step 7; lower the learning rate"):
        window.mean(accelerator, step=7)


def test_rewinding_drops_later_lines_and_a_torn_one(tmp_path, accelerator):
    journal = Journal(tmp_path, accelerator)
    for step in (1, 2, 3):
        journal.write(step, {"loss": 0.5})
    with journal.path.open("a") as file:
        file.write('\x00\x00\x00\n[]\n{"loss": 1}\n{"step": 1, "lo')
    journal.rewind(2)
    assert [json.loads(line)["step"] for line in journal.path.read_text().splitlines()] == [1, 2]


def test_values_that_are_not_finite_are_null(tmp_path, accelerator):
    Journal(tmp_path, accelerator).write(1, {"grad_norm": float("inf"), "loss": None})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "grad_norm": None, "loss": None}


def test_stopwatch_counts_the_steps_since_the_last_reading():
    watch = Stopwatch()
    with watch:
        pass
    assert watch.steps_per_second() > 0
    assert watch.steps_per_second() == 0
