import logging

import torch
from tiny_run import tiny_config
from torch import nn
from torch.utils.data import Dataset

from ldrestore.training.loop.memory_estimate import log_memory_estimate


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
