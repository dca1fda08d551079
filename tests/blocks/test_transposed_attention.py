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


def test_heads_do_not_mix_before_the_projection() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 6, 4, 5)
    identity = nn.Conv2d(6, 6, 1, bias=False)
    identity.weight.data.copy_(torch.eye(6)[..., None, None])

    def attended() -> torch.Tensor:
        cosines = channel_cosines(query, key, num_heads=2)
        return attend(attention_map(cosines, torch.ones(2, 1, 1)), value, identity)

    before = attended()
    for features in (query, key, value):
        features[:, 3:] += torch.randn(1, 3, 4, 5)
    after = attended()
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=1e-4, atol=1e-5)
    assert (after[:, 3:] - before[:, 3:]).abs().max() > 0.1


def test_the_length_of_queries_and_keys_does_not_matter_and_the_order_of_positions_neither() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 2, 6, 4, 5)
    expected = channel_cosines(query, key, num_heads=3)
    scales = torch.rand(2, 6, 1, 1) + 0.1
    torch.testing.assert_close(channel_cosines(scales * query, 100 * key, num_heads=3), expected, rtol=1e-4, atol=1e-5)
    order = torch.randperm(20)
    shuffled = [features.flatten(2)[..., order].unflatten(2, (4, 5)) for features in (query, key)]
    torch.testing.assert_close(channel_cosines(*shuffled, num_heads=3), expected, rtol=1e-4, atol=1e-5)
    assert expected.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(
        channel_cosines(query, query, num_heads=6).flatten(), torch.ones(12), rtol=1e-4, atol=1e-5
    )


def test_a_temperature_of_zero_attends_to_all_channels_of_a_head_alike() -> None:
    attention = attention_map(torch.randn(2, 3, 4, 4), torch.zeros(3, 1, 1))
    torch.testing.assert_close(attention, torch.full((2, 3, 4, 4), 0.25))
    sharp = attention_map(torch.eye(4).expand(1, 1, 4, 4), torch.full((1, 1, 1), 1e4))
    assert torch.equal(sharp[0, 0], torch.eye(4))


@pytest.mark.parametrize("out_channels", [1, 9])
def test_the_projection_may_lead_to_any_number_of_channels(out_channels: int) -> None:
    torch.manual_seed(0)
    value, project_out = torch.randn(2, 4, 3, 5), nn.Conv2d(4, out_channels, 1)
    attention = torch.rand(2, 2, 2, 2).softmax(dim=-1)
    mixed = torch.einsum("bhcd,bhdyx->bhcyx", attention, value.unflatten(1, (2, 2))).flatten(1, 2)
    torch.testing.assert_close(attend(attention, value, project_out), project_out(mixed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_both_attentions_have_exact_gradients(kernel_size: int) -> None:
    torch.manual_seed(0)
    features, other = torch.randn(2, 1, 4, 3, 2, dtype=torch.float64).requires_grad_().unbind()
    itself = TransposedAttention(4, num_heads=2).double()
    cross = TransposedCrossAttention(4, num_heads=2, kernel_size=kernel_size).double()
    assert torch.autograd.gradcheck(itself, (features,))
    assert torch.autograd.gradcheck(cross, (features, other))
    assert cross.kv_dwconv.weight.shape == (8, 1, kernel_size, kernel_size)
