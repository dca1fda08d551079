import json
from pathlib import Path

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


def test_a_loss_that_begins_within_the_window_is_the_mean_over_the_passes_since(accelerator: Accelerator) -> None:
    window = LossWindow()
    for judge in (None, None, 3.0, 5.0):
        window.add({"loss": torch.tensor(1.0)} | ({} if judge is None else {"judge": torch.tensor(judge)}))
    assert window.mean(accelerator, step=4) == {"judge": 4.0, "loss": 1.0}
    other = LossWindow()
    other.load_state_dict(json.loads(json.dumps(window.state_dict())), device=torch.device("cpu"))
    other.add({"loss": torch.tensor(6.0), "judge": torch.tensor(1.0)})
    assert other.mean(accelerator, step=5) == {"judge": 3.0, "loss": 2.0}


def test_windows_of_older_checkpoints_have_one_count_for_all(accelerator: Accelerator) -> None:
    window = LossWindow()
    window.load_state_dict({"count": 3, "sums": {"loss": 6.0, "l1": 3.0}}, device=torch.device("cpu"))
    assert window.mean(accelerator, step=3) == {"l1": 1.0, "loss": 2.0}
    window.load_state_dict({"count": 0, "sums": {}}, device=torch.device("cpu"))
    assert window.mean(accelerator, step=3) == {}


def test_a_window_that_was_cleared_begins_anew_and_an_empty_one_says_nothing(accelerator: Accelerator) -> None:
    window = LossWindow()
    assert window.mean(accelerator, step=0) == {}
    window.add({"loss": torch.tensor(9.0)})
    window.clear()
    assert window.mean(accelerator, step=1) == {}
    window.add({"loss": torch.tensor(2.0, requires_grad=True, dtype=torch.float64)})
    assert window.mean(accelerator, step=2) == {"loss": 2.0}
    assert not window._sums["loss"].requires_grad


class Recorded:
    """An accelerator that keeps what its tracker is told."""

    def __init__(self, *, is_main_process: bool = True) -> None:
        self.is_main_process, self.tracked = is_main_process, []

    def log(self, values: dict[str, float], *, step: int) -> None:
        self.tracked.append((step, values))


def test_the_tracker_is_told_of_numbers_alone(tmp_path: Path) -> None:
    accelerator = Recorded()
    Journal(tmp_path, accelerator).write(3, {"loss": 0.5, "grad_norm": None, "l1": float("nan")})
    assert accelerator.tracked == [(3, {"loss": 0.5})]


def test_only_the_main_process_writes_and_rewinds(tmp_path: Path) -> None:
    Journal(tmp_path, Recorded()).write(5, {"loss": 0.5})
    written = (tmp_path / "metrics.jsonl").read_text()
    other = Recorded(is_main_process=False)
    Journal(tmp_path, other).write(6, {"loss": 0.4})
    Journal(tmp_path, other).rewind(0)
    assert (tmp_path / "metrics.jsonl").read_text() == written and other.tracked == []


def test_a_run_without_metrics_has_nothing_to_rewind(tmp_path: Path) -> None:
    Journal(tmp_path, Recorded()).rewind(3)
    assert list(tmp_path.iterdir()) == []
