"""Routing of pictures or patches to experts inside a decoder: router, dispatch, and the experts themselves.

UniLDiff, Eq. 6 and 7: G(x) = top-k(softmax(W x + noise)), noise in training alone, each expert with a receptive field
of its own.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.naf import NAFBlock
from ldrestore.blocks.routing import Routing, noisy
from ldrestore.tiling.shared_statistics import MapStatistic, channel_means

RoutingUnit = Literal["image", "patch"]
"""What takes one decision: a picture, or each patch of it."""


class Reach(NamedTuple):
    """How far an expert's depth-wise convolution looks."""

    kernel_size: int
    """Taps a side, odd."""
    dilation: int
    """Distance of the taps."""

    @property
    def radius(self) -> int:
        """Positions that it looks to each side."""
        return self.kernel_size // 2 * self.dilation


class ExpertRouter(nn.Module):
    """Scores experts for each picture, or each patch, by its mean features."""

    def __init__(self, num_channels: int, *, num_experts: int) -> None:
        """Build it.

        Args:
            num_channels: C of the features.
            num_experts: E.
        """
        super().__init__()
        self.means = MapStatistic(channel_means)
        self.gate = nn.Linear(num_channels, num_experts, bias=False)

    def forward(self, hidden_states: Tensor, patch_size: int | None = None) -> Routing:
        """Score.

        Args:
            hidden_states: (B, C, H, W); with a patch size, sides that it divides.
            patch_size: Side of the patches; None for a decision a picture.

        Returns:
            One row a picture, or a patch, in the order of `patches_of`.
        """
        if patch_size is None:
            means = self.means(hidden_states).flatten(1)
        else:
            means = F.avg_pool2d(hidden_states, patch_size).permute(0, 2, 3, 1).flatten(0, 2)
        logits = self.gate(means).float()
        drawn = noisy(logits) if self.training else logits
        return Routing(drawn.softmax(dim=-1), logits, drawn)


class RoutedExperts(nn.Module):
    """Experts of NAFBlocks, of which each picture or patch goes through its k best; no other computes."""

    def __init__(
        self,
        num_channels: int,
        *,
        reaches: Sequence[Reach],
        num_blocks: int,
        top_k: int,
        patch_size: int | None,
    ) -> None:
        """Build them.

        Args:
            num_channels: C of the features.
            reaches: One for each of the E experts.
            num_blocks: NAFBlocks of each.
            top_k: k.
            patch_size: Side of the patches; None for a decision a picture.
        """
        super().__init__()
        self.top_k, self.patch_size = top_k, patch_size
        self.margin = num_blocks * max(reach.radius for reach in reaches)
        self.router = ExpertRouter(num_channels, num_experts=len(reaches))
        self.experts = nn.ModuleList(
            nn.Sequential(
                *(
                    NAFBlock(num_channels, kernel_size=reach.kernel_size, dilation=reach.dilation)
                    for _ in range(num_blocks)
                )
            )
            for reach in reaches
        )
        if patch_size is not None:  # a patch is a picture of its own: what it measures is not the whole picture's
            for block in self.modules():
                if isinstance(block, NAFBlock):
                    block.sca[0] = nn.AdaptiveAvgPool2d(1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """sum_i g_i E_i(x) over the chosen experts: (B, C, H, W) to the same shape."""
        if self.patch_size is None:
            return self._routed(hidden_states, hidden_states, self.router(hidden_states))
        height, width = hidden_states.shape[-2:]
        beyond = (0, -width % self.patch_size, 0, -height % self.patch_size)
        whole = F.pad(hidden_states, beyond, mode="replicate") if any(beyond) else hidden_states
        grid = (whole.shape[-2] // self.patch_size, whole.shape[-1] // self.patch_size)
        patches = patches_of(whole, size=self.patch_size, margin=self.margin)
        inner = patches_of(whole, size=self.patch_size, margin=0)
        answered = self._routed(patches, inner, self.router(whole, self.patch_size))
        return joined_patches(answered, batch=len(whole), grid=grid)[..., :height, :width]

    def _routed(self, given: Tensor, like: Tensor, routing: Routing) -> Tensor:
        """Each row through its experts; from a margin around it, which is cut away: (M, C, H, W) of `like`'s shape."""
        weights, chosen = routing.probabilities.topk(self.top_k, dim=-1)  # (M, k) each
        total = torch.zeros_like(like)
        margin = (given.shape[-1] - like.shape[-1]) // 2
        for index, expert in enumerate(self.experts):
            rows, ranks = (chosen == index).nonzero(as_tuple=True)
            if len(rows) == 0:
                continue
            answer = expert(given[rows])
            answer = answer[..., margin : answer.shape[-2] - margin, margin : answer.shape[-1] - margin]
            weight = weights[rows, ranks].to(answer.dtype)[:, None, None, None]
            total = total.index_add(0, rows, (answer * weight).to(total.dtype))
        return total


def patches_of(features: Tensor, *, size: int, margin: int) -> Tensor:
    """Squares of a map with a margin around each, of zeros beyond the map's border.

    Args:
        features: (B, C, H, W), sides that `size` divides.
        size: Side of the squares.
        margin: Positions more on each side.

    Returns:
        (B * H/size * W/size, C, size + 2 margin, size + 2 margin), row by row.
    """
    padded = F.pad(features, (margin,) * 4) if margin else features
    side = size + 2 * margin
    windows = padded.unfold(2, side, size).unfold(3, side, size)  # (B, C, rows, columns, side, side)
    return windows.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def joined_patches(patches: Tensor, *, batch: int, grid: tuple[int, int]) -> Tensor:
    """Squares side by side, the inverse of `patches_of` without a margin.

    Args:
        patches: (batch * rows * columns, C, size, size).
        batch: B.
        grid: Rows and columns.

    Returns:
        (B, C, rows * size, columns * size).
    """
    rows, columns = grid
    split = patches.unflatten(0, (batch, rows, columns)).permute(0, 3, 1, 4, 2, 5)  # (B, C, rows, s, columns, s)
    return split.flatten(4, 5).flatten(2, 3)
