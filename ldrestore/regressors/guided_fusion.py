"""The guided fusion block (MGFB) of MMFE-IR, Lee et al. 2026 (https://arxiv.org/abs/2605.11444), Sec. 3.1, two ways.

The features are the query, one embedding of a guide is key and value. The paper's Eq. 1 attends over tokens, of which
a pooled embedding is one: its softmax is 1 whatever the features hold. `LiteralFusion` is that; `ChannelFusion` attends
over channels instead, where there are as many keys as channels.
"""

import torch
from torch import Tensor, nn

from ldrestore.blocks.restormer_block import ChannelNorm, GatedFeedForward, NormKind
from ldrestore.blocks.transposed_attention import attend
from ldrestore.tiling.shared_statistics import MapStatistic


class LiteralFusion(nn.Module):
    """Eq. 1 and 2 as printed, with a projection of the result: F + W_O softmax(Q K^T / sqrt(d)) V.

    With the one key that a pooled embedding is, the softmax is identically 1. So W_Q and W_K change nothing and get no
    gradient, and each position gets the same vector W_O W_V E.
    """

    def __init__(self, num_channels: int, *, embedding_width: int) -> None:
        """Build it; nothing in it has a bias.

        Args:
            num_channels: C of the features, d of the attention.
            embedding_width: Length of the embedding.
        """
        super().__init__()
        self.q = nn.Linear(num_channels, num_channels, bias=False)
        self.k = nn.Linear(embedding_width, num_channels, bias=False)
        self.v = nn.Linear(embedding_width, num_channels, bias=False)
        self.project_out = nn.Linear(num_channels, num_channels, bias=False)

    def forward(self, hidden_states: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W) and (B, width) to (B, C, H, W)."""
        query = self.q(hidden_states.permute(0, 2, 3, 1))  # (B, H, W, C)
        key, value = self.k(embedding), self.v(embedding)  # (B, C) each: one token
        logits = torch.einsum("bhwc,bc->bhw", query, key)[..., None] * query.shape[-1] ** -0.5  # (B, H, W, 1)
        attended = logits.softmax(dim=-1) * value[:, None, None]  # (B, H, W, C)
        return hidden_states + self.project_out(attended).permute(0, 3, 1, 2)


class ChannelFusion(nn.Module):
    """A Restormer block whose attention between channels has the embedding for key and value.

    The embedding is projected to C channels and broadcast over the map, F to queries and it to keys and values by 1x1
    and 3x3 depth-wise convolutions. Two things differ from Restormer's attention:

    - The query has unit length over the positions, the key is divided by the root of their number alone. At unit length
      of a constant map no more than the sign would be left, and W_K would learn nothing.
    - A convolution of a constant map, padded with zeros, is constant but for its outermost rows and columns. Keys and
      values are therefore computed for a map of 3 x 3 and stand for the large one, which is exact.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        num_heads: int,
        embedding_width: int,
        expansion: float = 2.66,
        bias: bool = False,
        norm: NormKind = "WithBias",
    ) -> None:
        """Build it; the projection of the embedding has a bias in any case, and no normalisation.

        Args:
            num_channels: C of the features, a multiple of `num_heads`.
            num_heads: Groups of channels that attend among themselves.
            embedding_width: Length of the embedding.
            expansion: See `GatedFeedForward`.
            bias: Whether the convolutions of the feed-forward have one.
            norm: See `ChannelNorm`.
        """
        super().__init__()
        self.project_in = nn.Linear(embedding_width, num_channels)
        self.norm1 = ChannelNorm(num_channels, norm)
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.unit_sums = MapStatistic(_unit_sums)
        self.q = nn.Conv2d(num_channels, num_channels, 1, bias=False)
        self.q_dwconv = nn.Conv2d(num_channels, num_channels, 3, padding=1, groups=num_channels, bias=False)
        self.kv = nn.Linear(num_channels, 2 * num_channels, bias=False)
        self.kv_dwconv = nn.Conv2d(
            2 * num_channels, 2 * num_channels, 3, padding=1, groups=2 * num_channels, bias=False
        )
        self.project_out = nn.Conv2d(num_channels, num_channels, 1, bias=False)
        self.norm2 = ChannelNorm(num_channels, norm)
        self.ffn = GatedFeedForward(num_channels, expansion=expansion, bias=bias)

    def forward(self, hidden_states: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W) and (B, width) to (B, C, H, W)."""
        hidden_states = hidden_states + self._attended(self.norm1(hidden_states), embedding)
        return hidden_states + self.ffn(self.norm2(hidden_states))

    def _attended(self, features: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W) and (B, width) to (B, C, H, W)."""
        height, width = features.shape[-2:]
        guidance = self.kv(self.project_in(embedding))[..., None, None]  # (B, 2C, 1, 1)
        small = guidance.expand(-1, -1, min(height, 3), min(width, 3))
        key, value = self.kv_dwconv(small).chunk(2, dim=1)  # (B, C, 3, 3) each
        attention = self._attention(self.q_dwconv(self.q(features)), key)
        return _widened(attend(attention, value, self.project_out), height, width)

    def _attention(self, query: Tensor, key: Tensor) -> Tensor:
        """How much each channel takes of each other one.

        Args:
            query: (B, C, H, W).
            key: (B, C, 3, 3), for a map of (B, C, H, W).

        Returns:
            (B, heads, c, c), each row sums to 1; in the type of the key, the sums over positions taken in float32, or
            in float64 for such maps.
        """
        num_heads, full = len(self.temperature), _full_type(key)
        sums = self.unit_sums(query).to(full)  # (B, C, 9)
        queries, keys = (part.unflatten(1, (num_heads, -1)) for part in (sums, key.to(full).flatten(2)))
        logits = torch.einsum("bhcp,bhdp->bhcd", queries, keys) * self.temperature
        return logits.softmax(dim=-1).to(key.dtype)


def _unit_sums(query: Tensor) -> Tensor:
    """What `_gathered` gives of queries of unit length over the positions: (B, C, H, W) to (B, C, 9)."""
    num_positions = query.shape[2] * query.shape[3]
    lengths = torch.linalg.vector_norm(query, dim=(2, 3), dtype=_full_type(query)).clamp_min(1e-12)  # (B, C)
    return _gathered(query).flatten(2) / (lengths * num_positions**0.5)[..., None]


def _full_type(features: Tensor) -> torch.dtype:
    """In which sums over many positions are taken: float32, or float64 for maps of it."""
    return torch.promote_types(features.dtype, torch.float32)


def _gathered(features: Tensor) -> Tensor:
    """Sums over the inner rows and columns, the outermost left alone: (B, C, H, W) to (B, C, 3, 3) or less, in full."""
    for axis in (2, 3):
        size = features.shape[axis]
        if size > 3:
            inner = features.narrow(axis, 1, size - 2).sum(axis, keepdim=True, dtype=_full_type(features))
            features = torch.cat([features.narrow(axis, 0, 1), inner, features.narrow(axis, size - 1, 1)], dim=axis)
    return features.to(_full_type(features))


def _widened(small: Tensor, height: int, width: int) -> Tensor:
    """The inner row and column repeated: (B, C, 3, 3) or less to (B, C, H, W), channels last."""
    rows, columns = (_inner_repeated(size).to(small.device) for size in (height, width))
    return small.permute(0, 2, 3, 1).index_select(1, rows).index_select(2, columns).permute(0, 3, 1, 2)


def _inner_repeated(size: int) -> Tensor:
    """0 1 1 ... 1 2, of this length; 0 1 and 0 for two and one."""
    positions = torch.arange(size)
    return positions if size <= 3 else positions.clamp(max=1) + (positions == size - 1)
