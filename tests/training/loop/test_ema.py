import copy

import pytest
import torch
from torch import nn

from ldrestore.errors import WeightsError
from ldrestore.training.loop.ema import Ema, decay_at


def test_decay_warms_up():
    assert decay_at(0, 0.999) == pytest.approx(0.1)
    assert decay_at(8, 0.999) == pytest.approx(0.5)
    assert decay_at(10**6, 0.999) == 0.999


def test_average_follows_the_formula():
    network = nn.Linear(2, 2)
    ema, start = Ema(network, decay=0.9), network.weight.detach().clone()
    nn.init.ones_(network.weight)
    ema.update(network, num_updates=0)
    torch.testing.assert_close(ema.network.weight, 0.1 * start + 0.9 * torch.ones(2, 2))


def test_buffers_are_copied():
    network = nn.BatchNorm1d(3)
    ema = Ema(network, decay=0.9)
    network(torch.randn(8, 3))
    ema.update(network, num_updates=0)
    assert torch.equal(ema.network.running_mean, network.running_mean)
    assert ema.network.num_batches_tracked == 1


def test_average_is_kept_in_float32_and_evaluation_mode():
    ema = Ema(nn.Linear(2, 2).to(torch.bfloat16), decay=0.9)
    assert ema.network.weight.dtype == torch.float32
    assert not ema.network.training and not ema.network.weight.requires_grad


def test_the_network_in_training_is_left_alone():
    network = nn.Linear(2, 2)
    before = copy.deepcopy(network.state_dict())
    Ema(network, decay=0.9).update(nn.Linear(2, 2), num_updates=0)
    assert network.training and all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_weights_of_another_network_are_refused():
    with pytest.raises(WeightsError, match="averaged weights do not fit"):
        Ema(nn.Linear(2, 2), decay=0.9).load(nn.Linear(3, 3).state_dict())
