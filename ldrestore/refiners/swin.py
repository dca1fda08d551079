"""Self-attention in windows, every other time shifted: the block of Swin, Liu et al. 2021, as SwinIR uses it.

Swin: https://arxiv.org/abs/2103.14030; SwinIR: https://arxiv.org/abs/2108.10257.

Both papers shift the map cyclically and mask what does not belong together. The same function is computed here without
masks and without padding: a shifted grid cuts the map into whole windows and into smaller ones along the borders, which
attend within themselves. So a map may have any size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.errors import ConfigError

BIAS_STD = 0.02
"""Standard deviation of the relative position biases at the start, as in both papers."""


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a learned bias for each offset, Eq. 4 of Liu et al. 2021.

    `softmax(Q K^T / sqrt(d) + B) V`. It calls PyTorch's own attention directly: other backends refuse such a bias.
    """

    def __init__(self, num_channels: int, *, num_heads: int, window_size: int, shift: int) -> None:
        """Build it.

        Args:
            num_channels: C, a multiple of the heads.
            num_heads: Heads.
            window_size: Side of a window.
            shift: Rows and columns by which the windows are moved down and to the right, in [0, window_size).

        Raises:
            ConfigError: C is no multiple of the heads, or the shift is out of its range.
        """
        super().__init__()
        if num_channels % num_heads:
            raise ConfigError(f"channels must be a multiple of the heads, got {num_channels} and {num_heads}")
        if not 0 <= shift < window_size:
            raise ConfigError(f"shift must lie in [0, {window_size}), the window's side, got {shift}")
        self.num_heads, self.window_size, self.shift = num_heads, window_size, shift
        self.qkv = nn.Linear(num_channels, 3 * num_channels)
        self.proj = nn.Linear(num_channels, num_channels)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window_size - 1) ** 2, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=BIAS_STD)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        height, width = hidden_states.shape[1:3]
        bands = cut_axis(height, self.window_size, self.shift)
        columns = cut_axis(width, self.window_size, self.shift)
        projected = self.qkv(hidden_states)  # (B, H, W, 3C)
        attended = []
        for band, row_side in zip(projected.split([sum(sides) for sides in bands], dim=1), bands, strict=True):
            parts = band.split([sum(sides) for sides in columns], dim=2)
            sizes = [(row_side[0], column_side[0]) for column_side in columns]
            attended.append(torch.cat([self._attend(*pair) for pair in zip(parts, sizes, strict=True)], dim=2))
        return self.proj(torch.cat(attended, dim=1))

    def _attend(self, projected: Tensor, size: tuple[int, int]) -> Tensor:
        """Within windows of one size, which the part is made of: (B, h, w, 3C) to (B, h, w, C)."""
        batch, height, width, channels = projected.shape
        grid = (height // size[0], width // size[1])
        windows = projected.view(batch, grid[0], size[0], grid[1], size[1], 3, self.num_heads, -1)
        query, key, value = (
            windows.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(1, 3).flatten(3, 4)
        )  # (windows, heads, L, d)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self.bias(*size).to(query.dtype)[None])
        mixed = mixed.view(batch, *grid, self.num_heads, *size, -1).permute(0, 1, 4, 2, 5, 3, 6)
        return mixed.reshape(batch, height, width, channels // 3)

    def bias(self, height: int, width: int) -> Tensor:
        """The bias between all positions of a window, row by row, of at most the full side: (heads, L, L)."""
        device, reach = self.relative_position_bias_table.device, self.window_size - 1
        rows, columns = (torch.arange(side, device=device) for side in (height, width))
        row_offsets = (rows[:, None] - rows + reach)[:, None, :, None]  # (h, 1, h, 1), from a query to a key
        column_offsets = (columns[:, None] - columns + reach)[None, :, None, :]  # (1, w, 1, w)
        index = (row_offsets * (2 * reach + 1) + column_offsets).view(height * width, height * width)
        return F.embedding(index, self.relative_position_bias_table).permute(2, 0, 1)


def cut_axis(size: int, window_size: int, shift: int) -> list[list[int]]:
    """Sides of the windows along one axis, in order, in groups of equal ones that lie next to each other.

    `cut_axis(21, 8, 4)` is [[4], [8, 8], [1]].
    """
    first = min(shift, size)
    num_whole, last = divmod(size - first, window_size)
    return [sides for sides in ([first], [window_size] * num_whole, [last]) if sides and sides[0]]


class SwinBlock(nn.Module):
    """Window attention, then a perceptron of two layers, both residual and normalised before, Eq. 3 of Liu et al."""

    def __init__(
        self, num_channels: int, *, num_heads: int, window_size: int = 8, shift: int = 0, mlp_ratio: int = 2
    ) -> None:
        """Build it.

        Args:
            num_channels: C of the feature map.
            num_heads: Heads, of which C is a multiple.
            window_size: Side of a window.
            shift: See `WindowAttention`; the papers take 0 and half a window in turn.
            mlp_ratio: Channels inside the perceptron as a multiple of C.
        """
        super().__init__()
        self.norm1 = nn.LayerNorm(num_channels)
        self.attn = WindowAttention(num_channels, num_heads=num_heads, window_size=window_size, shift=shift)
        self.norm2 = nn.LayerNorm(num_channels)
        wide = num_channels * mlp_ratio
        self.mlp = nn.Sequential(nn.Linear(num_channels, wide), nn.GELU(), nn.Linear(wide, num_channels))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, channels last."""
        pixels = hidden_states.permute(0, 2, 3, 1)  # (B, H, W, C)
        pixels = pixels + self.attn(self.norm1(pixels))
        pixels = pixels + self.mlp(self.norm2(pixels))
        return pixels.permute(0, 3, 1, 2)
