"""Transposed attention against the paper's equation, written out channel by channel."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ldrestore.blocks.transposed_attention import (
    TransposedAttention,
    TransposedCrossAttention,
    attend,
    attention_map,
    channel_cosines,
)


def slow_attention(query, key, value, temperature, project_out):
    """softmax(K Q / alpha) V, head by head and channel by channel, then the 1x1 convolution."""
    batch, channels = query.shape[:2]
    size = channels // len(temperature)
    out = torch.zeros_like(value)
    for picture in range(batch):
        for channel in range(channels):
            head = channel // size
            others = range(head * size, (head + 1) * size)
            q = query[picture, channel].flatten()
            logits = [
                F.cosine_similarity(q, key[picture, other].flatten(), dim=0) * temperature[head, 0, 0]
                for other in others
            ]
            weights = torch.stack(logits).softmax(dim=0)
            out[picture, channel] = sum(w * value[picture, other] for w, other in zip(weights, others, strict=True))
    return project_out(out)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_equation(bias, memory_format):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 6, 4, 5).contiguous(memory_format=memory_format) for _ in range(3))
    temperature, project_out = torch.tensor([0.7, 1.9]).view(2, 1, 1), nn.Conv2d(6, 6, 1, bias=bias)
    fast = attend(
        attention_map(channel_cosines(query, key, num_heads=len(temperature)), temperature), value, project_out
    )
    slow = slow_attention(query, key, value, temperature, project_out)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


def test_an_empty_channel_gives_no_undefined_value():
    query, key = torch.zeros(1, 2, 3, 3), torch.randn(1, 2, 3, 3)
    assert torch.allclose(
        attention_map(channel_cosines(query, key, num_heads=1), torch.ones(1, 1, 1)), torch.full((1, 1, 2, 2), 0.5)
    )


def test_each_picture_of_a_batch_attends_to_itself_alone():
    torch.manual_seed(0)
    attention, batch = TransposedAttention(8, num_heads=2, bias=True), torch.randn(3, 8, 6, 5)
    singles = torch.cat([attention(picture) for picture in batch.split(1)])
    torch.testing.assert_close(attention(batch), singles, rtol=1e-4, atol=1e-5)


def test_cross_attention_takes_keys_and_values_from_the_map_that_is_asked():
    torch.manual_seed(0)
    attention, hidden_states, context = (
        TransposedCrossAttention(6, num_heads=2),
        torch.randn(2, 6, 5, 4),
        torch.randn(2, 6, 5, 4),
    )
    query = attention.q_dwconv(attention.q(hidden_states))
    key, value = attention.kv_dwconv(attention.kv(context)).chunk(2, dim=1)
    slow = slow_attention(query, key, value, attention.temperature, attention.project_out)
    torch.testing.assert_close(attention(hidden_states, context), slow, rtol=1e-4, atol=1e-5)


def test_cross_attention_asks_with_the_direction_of_the_features_alone():
    torch.manual_seed(0)
    attention, hidden_states, context = (
        TransposedCrossAttention(4, num_heads=1),
        torch.randn(1, 4, 5, 4),
        torch.randn(1, 4, 5, 4),
    )
    torch.testing.assert_close(
        attention(0.3 * hidden_states, context), attention(hidden_states, context), rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(attention(hidden_states, 0.3 * context), attention(hidden_states, context))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_pictures_stay_within_the_range_of_half_precision(dtype):
    torch.manual_seed(0)
    query, key, temperature = (
        20 * torch.randn(1, 4, 48, 48) + 9,
        20 * torch.randn(1, 4, 48, 48) + 9,
        torch.ones(2, 1, 1),
    )
    query[:, 0] = 0
    cosines = channel_cosines(query.to(dtype), key.to(dtype), num_heads=len(temperature))
    attention = attention_map(cosines, temperature.to(dtype))
    expected = attention_map(channel_cosines(query, key, num_heads=len(temperature)), temperature)
    assert attention.dtype == dtype
    torch.testing.assert_close(attention.float(), expected, rtol=0, atol=5e-3)
