"""Numbers that overflow in half precision are computed once more, and once only."""

import logging

import pytest
import torch
from torch import nn

from ldrestore.errors import UndefinedNumbersError, WeightsError
from ldrestore.systems.finite_numbers import again_in_float32, check_finite


def network(value, dtype):
    layer = nn.Linear(1, 1, bias=False).to(dtype)
    with torch.no_grad():
        layer.weight.fill_(value)
    return layer


def computing(layer, types):
    """Squares the weight; remembers the types it was asked in."""

    def compute():
        types.append(layer.weight.dtype)
        return check_finite(layer.weight.square(), of="the squares")

    return compute


def test_an_overflow_is_computed_once_more_in_float32(caplog):
    layer, types = network(1000.0, torch.float16), []
    with caplog.at_level(logging.WARNING):
        found = again_in_float32(computing(layer, types), [layer])
    assert found.item() == 1e6 and types == [torch.float16, torch.float32]
    assert layer.weight.dtype == torch.float16 and layer.weight.item() == 1000
    assert "half precision overflowed (the squares hold infinite" in caplog.text


@pytest.mark.parametrize(("dtype", "num_tries"), [(torch.float16, 2), (torch.bfloat16, 2), (torch.float32, 1)])
def test_what_is_undefined_in_float32_too_is_refused(dtype, num_tries):
    layer, types = network(torch.nan, dtype), []
    with pytest.raises(UndefinedNumbersError, match="weights of the model are damaged"):
        again_in_float32(computing(layer, types), [layer])
    assert len(types) == num_tries and layer.weight.dtype == dtype
    assert issubclass(UndefinedNumbersError, WeightsError)


def test_what_is_finite_is_computed_once():
    layer, types = network(3.0, torch.float16), []
    assert again_in_float32(computing(layer, types), [layer]).item() == 9
    assert types == [torch.float16]
