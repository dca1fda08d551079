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


def test_the_average_is_the_literal_recursion_over_many_updates() -> None:
    """v <- d v + (1 - d) w with d = min(decay, (1 + n) / (10 + n)), in double precision."""
    generator = torch.Generator().manual_seed(0)
    network = nn.Linear(3, 2)
    ema, literal = Ema(network, decay=0.8), network.weight.detach().double()
    for num_updates in range(60):
        with torch.no_grad():
            network.weight.add_(0.1 * torch.randn(2, 3, generator=generator))
        ema.update(network, num_updates=num_updates)
        decay = min(0.8, (1 + num_updates) / (10 + num_updates))
        literal = decay * literal + (1 - decay) * network.weight.detach().double()
    torch.testing.assert_close(ema.network.weight.double(), literal, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ema.network.weight, network.weight)


def test_what_is_not_trained_stays_to_the_bit_in_the_average() -> None:
    network = nn.Linear(50, 50)
    ema = Ema(network, decay=0.999)
    for num_updates in range(20):
        ema.update(network, num_updates=num_updates)
    assert torch.equal(ema.network.weight, network.weight)


def test_averages_of_half_precision_weights_move_by_less_than_these_can_tell() -> None:
    network = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    nn.init.ones_(network.weight)
    ema = Ema(network, decay=0.9999)
    nn.init.constant_(network.weight, 1 + 2**-7)  # the next number after 1 in bfloat16
    ema.update(network, num_updates=10**6)
    assert 1 < ema.network.weight.item() < 1 + 2**-8
