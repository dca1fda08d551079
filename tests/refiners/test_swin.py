"""Window attention against a slow version: pixel by pixel, with the cyclic shift and the mask of the paper."""

import pytest
import torch
from torch import nn

from ldrestore.errors import ConfigError
from ldrestore.refiners.swin import SwinBlock, WindowAttention, cut_axis


def window_of(position, *, shift, window_size):
    """The number of the window that a row or a column lies in; those before the shift are in the first."""
    return (position - shift) // window_size


def slow_attention(attention, features):
    """One query at a time: the keys of its window alone, and the bias of each offset. (B, H, W, C) to the same."""
    batch, height, width, channels = features.shape
    side, shift, heads = attention.window_size, attention.shift, attention.num_heads
    query, key, value = attention.qkv(features).view(batch, height, width, 3, heads, -1).unbind(3)
    out = torch.zeros(batch, height, width, heads, channels // heads)
    places = [(row, column) for row in range(height) for column in range(width)]
    windows = {place: tuple(window_of(p, shift=shift, window_size=side) for p in place) for place in places}
    for picture in range(batch):
        for row, column in places:
            together = [place for place in places if windows[place] == windows[row, column]]
            for head in range(heads):
                logits = torch.stack(
                    [
                        query[picture, row, column, head] @ key[picture, i, j, head] * (channels // heads) ** -0.5
                        + attention.relative_position_bias_table[
                            (row - i + side - 1) * (2 * side - 1) + column - j + side - 1, head
                        ]
                        for i, j in together
                    ]
                )
                weights = logits.softmax(dim=0)
                values = torch.stack([value[picture, i, j, head] for i, j in together])
                out[picture, row, column, head] = weights @ values
    return attention.proj(out.flatten(3))


def masked_attention(attention, features):
    """The paper's way, Fig. 4: a cyclic shift by -s, whole windows, a mask between the parts that met at the border."""
    batch, height, width, channels = features.shape
    side, shift, heads = attention.window_size, attention.shift, attention.num_heads

    def windows(x):
        return x.unflatten(1, (-1, side)).unflatten(3, (-1, side)).transpose(2, 3).flatten(1, 2).flatten(2, 3)

    rows, columns = (
        torch.bucketize(torch.arange(size), torch.tensor([size - side, size - shift]), right=True)
        for size in (height, width)
    )
    regions = windows((3 * rows[:, None] + columns)[None, :, :, None])[0, :, :, 0]  # (windows, L)
    apart = regions[:, None, :, None] != regions[:, None, None, :]
    tokens = windows(torch.roll(features, (-shift, -shift), dims=(1, 2)))  # (B, windows, L, C)
    query, key, value = attention.qkv(tokens).unflatten(3, (3, heads, -1)).permute(3, 0, 1, 4, 2, 5)
    logits = query @ key.transpose(-1, -2) * (channels // heads) ** -0.5 + attention.bias(side, side)
    mixed = logits.masked_fill(apart, -torch.inf).softmax(dim=-1) @ value  # (B, windows, heads, L, d)
    mixed = mixed.transpose(2, 3).flatten(3).unflatten(2, (side, side)).unflatten(1, (height // side, width // side))
    mixed = mixed.transpose(2, 3).reshape(batch, height, width, channels)
    return attention.proj(torch.roll(mixed, (shift, shift), dims=(1, 2)))


def strong(attention):
    """Biases large enough to matter."""
    nn.init.normal_(attention.relative_position_bias_table)
    return attention


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("size", [(3, 3), (6, 9), (7, 5), (1, 2), (2, 8)])
def test_it_is_the_equation_at_any_size(size, shift):
    torch.manual_seed(0)
    attention = strong(WindowAttention(8, num_heads=2, window_size=3, shift=shift))
    features = torch.randn(2, *size, 8)
    torch.testing.assert_close(attention(features), slow_attention(attention, features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shift", [2, 3])
def test_it_is_the_cyclic_shift_with_its_mask(shift):
    torch.manual_seed(0)
    attention = strong(WindowAttention(8, num_heads=4, window_size=4, shift=shift))
    features = torch.randn(2, 12, 8, 8)
    torch.testing.assert_close(attention(features), masked_attention(attention, features), rtol=1e-4, atol=1e-5)


def test_windows_do_not_see_each_other_unless_shifted():
    torch.manual_seed(0)
    features = torch.randn(1, 8, 8, 8, requires_grad=True)

    def seen_by_the_first_pixel_of_the_second_window(shift):
        attention = WindowAttention(8, num_heads=2, window_size=4, shift=shift)
        (gradient,) = torch.autograd.grad(attention(features)[0, 4, 4].sum(), features)
        return gradient.abs().sum(dim=3)[0] > 0

    plain, shifted = (seen_by_the_first_pixel_of_the_second_window(shift) for shift in (0, 2))
    assert plain[4:, 4:].all() and plain.sum() == 16
    assert shifted[2:6, 2:6].all() and shifted.sum() == 16


def test_an_axis_is_cut_into_whole_windows_and_borders():
    assert cut_axis(21, 8, 4) == [[4], [8, 8], [1]]
    assert cut_axis(16, 8, 0) == [[8, 8]]
    assert cut_axis(3, 8, 4) == [[3]]
    assert cut_axis(5, 8, 0) == [[5]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_block_keeps_shape_and_type_and_gives_gradients(dtype, memory_format):
    torch.manual_seed(0)
    block = SwinBlock(8, num_heads=2, window_size=4, shift=2).to(dtype)
    out = block(torch.randn(2, 8, 7, 10, dtype=dtype).contiguous(memory_format=memory_format))
    assert out.shape == (2, 8, 7, 10) and out.dtype == dtype
    out.float().square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())


def test_each_picture_of_a_batch_attends_to_itself_alone():
    torch.manual_seed(0)
    block, batch = SwinBlock(8, num_heads=2, window_size=4, shift=2), torch.randn(3, 8, 9, 6)
    singles = torch.cat([block(picture) for picture in batch.split(1)])
    torch.testing.assert_close(block(batch), singles, rtol=1e-4, atol=1e-5)


def test_nothing_but_weights_is_stored():
    block = SwinBlock(8, num_heads=2, window_size=4, shift=2)
    assert list(block.buffers()) == []
    assert set(block.state_dict()) == {name for name, _ in block.named_parameters()}


def test_wrong_sizes_are_refused():
    with pytest.raises(ConfigError, match="multiple of the heads, got 8 and 3"):
        SwinBlock(8, num_heads=3)
    with pytest.raises(ConfigError, match=r"must lie in \[0, 8\), the window's side, got 8"):
        SwinBlock(8, num_heads=2, shift=8)
