"""The shared blocks as their equations read, in plain NCHW: what `network_costs` measures against.

Published implementations are mostly written so: features laid out channel by channel, norms over rearranged pixels,
queries and keys normalised one by one. The results are the same to rounding; the time is not.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from ldrestore.blocks.layer_norm import LayerNorm2d
from ldrestore.blocks.naf import NAFBlock
from ldrestore.blocks.restormer_block import BiasFreeLayerNorm2d
from ldrestore.blocks.transposed_attention import TransposedAttention, TransposedCrossAttention


def plain_layer_norm(self: LayerNorm2d, hidden_states: Tensor) -> Tensor:
    """Mean and variance of each pixel, step by step."""
    pixels = hidden_states.flatten(2).transpose(1, 2).contiguous()  # (B, N, C)
    mean = pixels.mean(dim=-1, keepdim=True)
    variance = pixels.var(dim=-1, keepdim=True, correction=0)
    normed = (pixels - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias
    return normed.transpose(1, 2).reshape(hidden_states.shape)


def plain_bias_free_norm(self: BiasFreeLayerNorm2d, hidden_states: Tensor) -> Tensor:
    """Variance of each pixel, step by step."""
    pixels = hidden_states.flatten(2).transpose(1, 2).contiguous()  # (B, N, C)
    variance = pixels.var(dim=-1, keepdim=True, correction=0)
    normed = pixels / torch.sqrt(variance + 1e-5) * self.weight
    return normed.transpose(1, 2).reshape(hidden_states.shape)


def plain_attention(self: TransposedAttention, hidden_states: Tensor) -> Tensor:
    """Transposed attention of a map to itself."""
    return _attended(self, *self.qkv_dwconv(self.qkv(hidden_states)).chunk(3, dim=1))


def plain_cross_attention(self: TransposedCrossAttention, queries: Tensor, source: Tensor) -> Tensor:
    """Transposed attention of one map to another."""
    return _attended(self, self.q_dwconv(self.q(queries)), *self.kv_dwconv(self.kv(source)).chunk(2, dim=1))


def _attended(
    self: TransposedAttention | TransposedCrossAttention, query: Tensor, key: Tensor, value: Tensor
) -> Tensor:
    """Eq. 1 of Restormer: unit queries and keys, their products, the softmax, the values, the projection."""
    shape, num_heads = query.shape, len(self.temperature)
    query, key, value = (part.reshape(shape[0], num_heads, -1, shape[2] * shape[3]) for part in (query, key, value))
    query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
    attention = (query @ key.transpose(-2, -1) * self.temperature).softmax(dim=-1)
    return self.project_out((attention @ value).reshape(shape))


def plain_naf_block(self: NAFBlock, hidden_states: Tensor) -> Tensor:
    """Each operation by itself."""
    gated = self.sg(self.conv2(self.conv1(self.norm1(hidden_states))))
    hidden_states = hidden_states + self.conv3(gated * self.sca(gated)) * self.beta
    return hidden_states + self.conv5(self.sg(self.conv4(self.norm2(hidden_states)))) * self.gamma


_PLAIN = {
    LayerNorm2d: plain_layer_norm,
    BiasFreeLayerNorm2d: plain_bias_free_norm,
    TransposedAttention: plain_attention,
    TransposedCrossAttention: plain_cross_attention,
    NAFBlock: plain_naf_block,
}


@contextmanager
def plain_blocks() -> Iterator[None]:
    """Within the block every network computes in the plain way."""
    contiguous = Tensor.contiguous

    def channel_by_channel(self: Tensor, **_layout: Any) -> Tensor:
        return contiguous(self)

    with ExitStack() as stack:
        stack.enter_context(patch.object(Tensor, "contiguous", channel_by_channel))
        for block, forward in _PLAIN.items():
            stack.enter_context(patch.object(block, "forward", forward))
        yield
