import logging
from pathlib import Path

import pytest
import torch
from tiny_run import tiny_config
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.errors import DatasetError
from ldrestore.training.config import StageConfig
from ldrestore.training.loop.memory_estimate import MemoryEstimate, log_memory_estimate


class Squares(Dataset):
    def __init__(self, side):
        self.side = side

    def __len__(self):
        return 1

    def __getitem__(self, key):
        return {"lq": torch.rand(3, self.side, self.side)}


class OneStateTask:
    """Keeps exactly the picture, four bytes a value, for the backward pass."""

    def dataset(self, stage):
        return Squares(stage.patch_size)

    def loss(self, model, batch):
        return (model(batch["lq"])).sum(), {}


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, lq):
        return self.factor * lq


def estimate(tmp_path, network, *overrides, frozen=()):
    config = tiny_config(tmp_path, "stages=[{patch_size: 128, batch_size: 5, steps: 1}]", *overrides)
    return log_memory_estimate(config, task=OneStateTask(), network=network, frozen=frozen)


def test_states_grow_with_pixels_and_pictures(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        found = estimate(tmp_path, Scale())
    assert found.states == 5 * 128 * 128 * 3 * 4
    assert "memory: about 0.00 GiB a process" in caplog.text


def test_weights_count_with_gradients_moments_and_average(tmp_path):
    network = Scale()
    network.add_module("unused", nn.Linear(10, 10).requires_grad_(False))
    found = estimate(tmp_path, network, frozen=[nn.Linear(4, 4, dtype=torch.bfloat16)])
    assert found.trained == 4 * 4 * 1 + 4 * 111
    assert found.frozen == 4 * 110 + 2 * 20
    assert estimate(tmp_path, network, "ema=null").trained == 16


def test_random_numbers_go_on_as_if_nothing_had_been_estimated(tmp_path):
    torch.manual_seed(0)
    estimate(tmp_path, Scale())
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


class TableTask(OneStateTask):
    """Keeps the picture, and 100 values that do not grow with it."""

    def loss(self, model: nn.Module, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        hidden = model.factor * torch.ones(100)
        return (model(batch["lq"])).sum() + (hidden * hidden).sum(), {}


def stages_of(*stages: tuple[int, int]) -> str:
    """Patch size and batch size of each, as an override."""
    inner = ", ".join(f"{{patch_size: {side}, batch_size: {batch}, steps: 1}}" for side, batch in stages)
    return f"stages=[{inner}]"


def states(tmp_path: Path, task: OneStateTask, network: nn.Module, *overrides: str) -> int:
    """Bytes that the estimate says are kept."""
    config = tiny_config(tmp_path, *overrides)
    return log_memory_estimate(config, task=task, network=network, frozen=()).states


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (((128, 1),), 128**2),
        (((128, 1), (80, 10)), 10 * 80**2),
        (((80, 2), (256, 1)), 256**2),
        (((16, 3),), 3 * 16**2),  # no larger than the probe
        (((64, 1), (32, 8)), 8 * 32**2),
    ],
)
def test_the_stage_that_needs_most_decides(tmp_path: Path, stages: tuple[tuple[int, int], ...], expected: int) -> None:
    assert states(tmp_path, OneStateTask(), Scale(), stages_of(*stages)) == 12 * expected


def test_what_does_not_grow_with_the_picture_is_counted_once_a_picture(tmp_path: Path) -> None:
    """The product keeps its two factors, which are one tensor; the factor of all ones keeps these."""
    plain = states(tmp_path, OneStateTask(), Scale(), stages_of((128, 3)))
    table = states(tmp_path, TableTask(), Scale(), stages_of((128, 3)))
    assert table - plain == 3 * (100 * 4 + 100 * 4)


def test_states_in_bfloat16_are_smaller_and_weights_are_not(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    whole, half = (
        log_memory_estimate(
            tiny_config(tmp_path, f"run.mixed_precision={precision}", stages_of((128, 1))),
            task=OneStateTask(),
            network=network,
            frozen=(),
        )
        for precision in ("'no'", "bf16")
    )
    assert half.states < 0.7 * whole.states and half.trained == whole.trained


def test_the_log_tells_sums_in_gibibytes() -> None:
    estimate = MemoryEstimate(frozen=2**30, trained=2**31, states=2**29)
    assert str(estimate) == (
        "about 3.50 GiB a process: 1.00 frozen weights, 2.00 weights in training with optimizer and average, "
        "0.50 states for the backward pass"
    )


def test_a_picture_that_cannot_be_loaded_ends_a_run_by_name(tmp_path: Path) -> None:
    class Broken(OneStateTask):
        def dataset(self, stage: StageConfig) -> Squares:
            dataset = Squares(stage.patch_size)
            dataset.side = "wide"
            return dataset

    with pytest.raises(DatasetError, match="item 0: cannot be made into a training pair"):
        states(tmp_path, Broken(), Scale())


def test_an_estimate_leaves_no_gradients_and_buffers_as_they_were(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    states(tmp_path, OneStateTask(), network)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters()) and network.training
