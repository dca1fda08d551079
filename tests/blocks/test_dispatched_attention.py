"""Attention that goes through diffusers' dispatcher."""

import math

import pytest
import torch
from torch import Tensor

from ldrestore.blocks.dispatched_attention import DispatchedAttention


def literal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v, one query of one head after the other."""
    out = torch.zeros(*query.shape[:3], value.shape[3])
    for b in range(query.shape[0]):
        for head in range(query.shape[2]):
            for position in range(query.shape[1]):
                scores = [float(query[b, position, head] @ one) / math.sqrt(query.shape[3]) for one in key[b, :, head]]
                powers = [math.exp(score - max(scores)) for score in scores]
                for power, one in zip(powers, value[b, :, head], strict=True):
                    out[b, position, head] += power / sum(powers) * one
    return out


@pytest.mark.parametrize(("num_queries", "num_keys"), [(3, 5), (4, 1)])
def test_each_head_attends_by_itself(num_queries: int, num_keys: int) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, num_queries, 2, 4)
    key, value = torch.randn(2, 2, num_keys, 2, 4)
    found = DispatchedAttention().processor(query, key, value)
    torch.testing.assert_close(found, literal_attention(query, key, value), rtol=1e-4, atol=1e-5)


def test_the_order_of_keys_does_not_matter_and_that_of_queries_is_kept() -> None:
    torch.manual_seed(0)
    attend = DispatchedAttention().processor
    query, key, value = torch.randn(3, 1, 6, 2, 4)
    expected, order = attend(query, key, value), torch.randperm(6)
    torch.testing.assert_close(attend(query, key[:, order], value[:, order]), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(attend(query[:, order], key, value), expected[:, order], rtol=1e-4, atol=1e-5)


def test_a_mask_takes_keys_out() -> None:
    torch.manual_seed(0)
    attend = DispatchedAttention().processor
    query, key, value = torch.randn(3, 1, 5, 2, 4)
    mask = torch.tensor([True, True, False, True, False]).expand(5, 5)
    kept = [0, 1, 3]
    found = attend(query, key, value, attention_mask=mask)
    torch.testing.assert_close(found, attend(query, key[:, kept], value[:, kept]), rtol=1e-4, atol=1e-5)


def test_it_has_no_weights_and_two_modules_share_no_processor() -> None:
    first, second = DispatchedAttention(), DispatchedAttention()
    assert not first.state_dict()
    assert first.processor is not second.processor
