"""Attention between channels in which another map gives keys and values."""

import torch
from torch import Tensor, nn

from ldrestore.blocks.transposed_attention import attend, attention_map


class TransposedCrossAttention(nn.Module):
    """MDTA of Restormer (Zamir et al. 2022, https://arxiv.org/abs/2111.09881, Eq. 1) across two maps of one shape."""

    def __init__(self, num_channels: int, *, num_heads: int) -> None:
        """Build it; no convolution has a bias.

        Args:
            num_channels: C of both maps, a multiple of `num_heads`.
            num_heads: Groups of channels that attend among themselves.
        """
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.q = nn.Conv2d(num_channels, num_channels, 1, bias=False)
        self.q_dwconv = nn.Conv2d(num_channels, num_channels, 3, padding=1, groups=num_channels, bias=False)
        self.kv = nn.Conv2d(num_channels, 2 * num_channels, 1, bias=False)
        self.kv_dwconv = nn.Conv2d(
            2 * num_channels, 2 * num_channels, 3, padding=1, groups=2 * num_channels, bias=False
        )
        self.project_out = nn.Conv2d(num_channels, num_channels, 1, bias=False)

    def forward(self, hidden_states: Tensor, guide: Tensor) -> Tensor:
        """Let the features ask the guide.

        Args:
            hidden_states: (B, C, H, W), gives the queries.
            guide: (B, C, H, W), gives the keys and values.

        Returns:
            (B, C, H, W).
        """
        query = self.q_dwconv(self.q(hidden_states))  # (B, C, H, W)
        key, value = self.kv_dwconv(self.kv(guide)).chunk(2, dim=1)  # (B, C, H, W) each
        return attend(attention_map(query, key, self.temperature), value, self.project_out)
