"""Learned tables with a row for each degradation, and how they grow."""

import math

import pytest
import torch
from torch import nn

from ldrestore.blocks.degradation_rows import (
    PROMPT_STD,
    checked_names,
    draw_rows,
    grown_linear,
    grown_names,
    grown_parameter,
    grown_rows,
)
from ldrestore.errors import ConfigError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("names", [(), "rain", ("rain", "rain"), ("rain", ""), ("rain", 3)])
def test_names_are_different_words(names):
    with pytest.raises(ConfigError, match="expected different names of degradations"):
        checked_names(names)
    assert checked_names(["rain", "haze"]) == ("rain", "haze")


def test_new_names_follow_the_old_ones_and_are_new():
    assert grown_names(("rain",), ["haze", "snow"]) == ("rain", "haze", "snow")
    with pytest.raises(ConfigError, match="rain: there already"):
        grown_names(("rain",), ["haze", "rain"])
    with pytest.raises(ConfigError, match="at least one"):
        grown_names(("rain",), [])


def test_rows_are_drawn_alike_from_equal_generators():
    rows = draw_rows(200, 50, generator=generator())
    assert torch.equal(rows, draw_rows(200, 50, generator=generator()))
    assert rows.std().item() == pytest.approx(PROMPT_STD, rel=0.05)
    assert abs(rows.mean().item()) < PROMPT_STD / 20


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_old_rows_stay_to_the_bit_along_any_axis(dim):
    pool = nn.Parameter(torch.randn(3, 4, 5, generator=generator(1)))
    grown = grown_rows(pool, 2, dim=dim, generator=generator())
    assert grown.shape[dim] == pool.shape[dim] + 2
    old, new = grown.split([pool.shape[dim], 2], dim=dim)
    assert torch.equal(old, pool) and (new != 0).all()


def test_type_and_training_are_those_of_the_parameter():
    frozen = nn.Parameter(torch.zeros(2, 3, dtype=torch.bfloat16), requires_grad=False)
    grown = grown_parameter(frozen, torch.ones(1, 3, dtype=torch.float64))
    assert grown.dtype == torch.bfloat16 and not grown.requires_grad and grown.is_leaf
    assert grown_parameter(nn.Parameter(torch.zeros(2, 3)), torch.ones(1, 3)).requires_grad


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_linear_layer_gains_outputs_and_computes_the_old_ones_as_before(has_bias):
    linear = nn.Linear(6, 2, bias=has_bias)
    grown = grown_linear(linear, 3, generator=generator())
    inputs = torch.randn(4, 6, generator=generator(2))
    assert grown(inputs).shape == (4, 5) and grown.out_features == 5
    torch.testing.assert_close(grown(inputs)[:, :2], linear(inputs), rtol=1e-4, atol=1e-5)
    bound = 1 / math.sqrt(6)
    assert grown.weight[2:].abs().max() <= bound and (grown.weight[2:] != 0).any()
    assert (grown.bias is not None) == has_bias
    assert torch.equal(grown.weight, grown_linear(linear, 3, generator=generator()).weight)
