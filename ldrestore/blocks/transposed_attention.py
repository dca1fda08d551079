"""Attention between channels instead of positions, linear in the size of the picture.

Zamir et al. 2022, Restormer (https://arxiv.org/abs/2111.09881), Eq. 1: out = W_o V softmax(K Q / alpha), where a query
is one channel over all positions.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.tiling.shared_statistics import MapStatistic


def channel_cosines(query: Tensor, key: Tensor, *, num_heads: int) -> Tensor:
    """How alike the channels of two maps are over all positions, within their heads.

    The unit length of queries and keys over the positions is applied to the small map instead of to the features, which
    is the same and spares two passes over them; but not in float16, whose range the products of a large picture leave.

    Args:
        query: (B, C, H, W).
        key: (B, C, H, W).
        num_heads: Groups of channels that are compared among themselves.

    Returns:
        (B, heads, C / heads, C / heads), in [-1, 1].
    """
    queries, keys = (_per_head(features, num_heads) for features in (query, key))  # (B, N, heads, c)
    if query.dtype == torch.float16:
        smallest = torch.finfo(torch.float16).tiny
        queries, keys = (F.normalize(features, dim=1, eps=smallest) for features in (queries, keys))
        return torch.einsum("bnhc,bnhd->bhcd", queries, keys)
    products = torch.einsum("bnhc,bnhd->bhcd", queries, keys)
    lengths = [torch.linalg.vector_norm(features, dim=1).clamp_min(1e-12) for features in (queries, keys)]  # (B, h, c)
    return products / (lengths[0].unsqueeze(3) * lengths[1].unsqueeze(2))


def attention_map(cosines: Tensor, temperature: Tensor) -> Tensor:
    """How much each channel takes of each other one, within its head.

    Args:
        cosines: (B, heads, c, c), see `channel_cosines`.
        temperature: (heads, 1, 1), multiplies them.

    Returns:
        (B, heads, c, c); each row sums to 1.
    """
    return (cosines * temperature).softmax(dim=-1)


def attend(attention: Tensor, value: Tensor, project_out: nn.Conv2d) -> Tensor:
    """Take the channels as the map says, and project: one matrix a picture does both, the product of the two.

    Args:
        attention: (B, heads, c, c).
        value: (B, C, H, W), C = heads * c.
        project_out: The 1x1 convolution from C channels to any number.

    Returns:
        (B, C', H, W), channels last.
    """
    batch, _, height, width = value.shape
    weight = project_out.weight.flatten(1).unflatten(1, attention.shape[1:3])  # (C', heads, c)
    mixed = torch.einsum("ohc,bhcd->bhdo", weight, attention).flatten(1, 2)  # (B, C, C')
    tokens = value.permute(0, 2, 3, 1).flatten(1, 2)  # (B, N, C)
    projected = tokens @ mixed if project_out.bias is None else torch.baddbmm(project_out.bias, tokens, mixed)
    return projected.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _per_head(features: Tensor, num_heads: int) -> Tensor:
    """(B, C, H, W) to (B, N, heads, C / heads), a view where the features are channels last."""
    return features.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (num_heads, -1))


class TransposedAttention(nn.Module):
    """Multi-Dconv head transposed attention (MDTA) of Restormer, Fig. 2a, in the released layout."""

    def __init__(self, num_channels: int, *, num_heads: int, bias: bool = False) -> None:
        """Build it.

        Args:
            num_channels: C of the feature map, a multiple of `num_heads`.
            num_heads: Groups of channels that attend among themselves.
            bias: Whether the convolutions have one.
        """
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.cosines = MapStatistic(partial(channel_cosines, num_heads=num_heads))
        self.qkv = nn.Conv2d(num_channels, 3 * num_channels, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(
            3 * num_channels, 3 * num_channels, 3, padding=1, groups=3 * num_channels, bias=bias
        )
        self.project_out = nn.Conv2d(num_channels, num_channels, 1, bias=bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        query, key, value = self.qkv_dwconv(self.qkv(hidden_states)).chunk(3, dim=1)  # (B, C, H, W) each
        return attend(attention_map(self.cosines(query, key), self.temperature), value, self.project_out)


class TransposedCrossAttention(nn.Module):
    """Transposed attention whose queries come from one map and whose keys and values from another.

    Attribute names are those of the release of MoCE-IR (Zamfir et al. 2025, https://arxiv.org/abs/2411.18466).
    """

    def __init__(self, num_channels: int, *, num_heads: int, kernel_size: int = 3) -> None:
        """Build it; its convolutions have no bias.

        Args:
            num_channels: C of both maps, a multiple of `num_heads`.
            num_heads: Groups of channels that attend among themselves.
            kernel_size: Of the depth-wise convolution of keys and values, odd; that of the queries has 3.
        """
        super().__init__()
        wide = 2 * num_channels
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.cosines = MapStatistic(partial(channel_cosines, num_heads=num_heads))
        self.q = nn.Conv2d(num_channels, num_channels, 1, bias=False)
        self.q_dwconv = nn.Conv2d(num_channels, num_channels, 3, padding=1, groups=num_channels, bias=False)
        self.kv = nn.Conv2d(num_channels, wide, 1, bias=False)
        self.kv_dwconv = nn.Conv2d(wide, wide, kernel_size, padding=kernel_size // 2, groups=wide, bias=False)
        self.project_out = nn.Conv2d(num_channels, num_channels, 1, bias=False)

    def forward(self, querying: Tensor, attended: Tensor) -> Tensor:
        """Take from one map what the other asks for.

        Args:
            querying: (B, C, H, W), makes the queries.
            attended: (B, C, H, W), makes keys and values.

        Returns:
            (B, C, H, W).
        """
        query = self.q_dwconv(self.q(querying))  # (B, C, H, W)
        key, value = self.kv_dwconv(self.kv(attended)).chunk(2, dim=1)  # (B, C, H, W) each
        return attend(attention_map(self.cosines(query, key), self.temperature), value, self.project_out)
