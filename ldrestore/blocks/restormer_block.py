"""The transformer block of Restormer, Zamir et al. 2022 (https://arxiv.org/abs/2111.09881), and its scaling layers.

Attribute names are those of the published checkpoints, of Restormer and of the many networks built on it.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.layer_norm import LayerNorm2d
from ldrestore.blocks.transposed_attention import TransposedAttention

NormKind = Literal["WithBias", "BiasFree"]
"""As the releases call them."""

_EPS = 1e-5


class BiasFreeLayerNorm2d(nn.Module):
    """Divide each pixel by the spread of its channels about their mean, then scale; the mean itself stays in."""

    def __init__(self, num_channels: int) -> None:
        """Start with weight one.

        Args:
            num_channels: C of the feature map.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        variance = hidden_states.var(dim=1, keepdim=True, correction=0)
        return hidden_states * torch.rsqrt(variance + _EPS) * self.weight[:, None, None]


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels, with a bias or without."""

    def __init__(self, num_channels: int, kind: NormKind) -> None:
        """Build it.

        Args:
            num_channels: C of the feature map.
            kind: "WithBias" for the usual one, "BiasFree" for the one that denoising networks take, whose result
                scales with the input, see `BiasFreeLayerNorm2d`.
        """
        super().__init__()
        self.body = LayerNorm2d(num_channels, eps=_EPS) if kind == "WithBias" else BiasFreeLayerNorm2d(num_channels)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.body(hidden_states)


class GatedFeedForward(nn.Module):
    """Gated-Dconv feed-forward (GDFN), Eq. 2 and Fig. 2b: GELU of one half gates the other."""

    def __init__(self, num_channels: int, *, expansion: float = 2.66, bias: bool = False) -> None:
        """Build it.

        Args:
            num_channels: C of the feature map.
            expansion: Hidden channels as a multiple of C, rounded down.
            bias: Whether the convolutions have one.
        """
        super().__init__()
        hidden = int(num_channels * expansion)
        self.project_in = nn.Conv2d(num_channels, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, num_channels, 1, bias=bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        gate, features = self.dwconv(self.project_in(hidden_states)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * features)


class TransformerBlock(nn.Module):
    """Transposed attention, then the gated feed-forward, each of the normalised features and residual."""

    def __init__(
        self,
        num_channels: int,
        *,
        num_heads: int,
        expansion: float = 2.66,
        bias: bool = False,
        norm: NormKind = "WithBias",
    ) -> None:
        """Build it.

        Args:
            num_channels: C of the feature map.
            num_heads: See `TransposedAttention`.
            expansion: See `GatedFeedForward`.
            bias: Whether the convolutions have one.
            norm: See `ChannelNorm`.
        """
        super().__init__()
        self.norm1 = ChannelNorm(num_channels, norm)
        self.attn = TransposedAttention(num_channels, num_heads=num_heads, bias=bias)
        self.norm2 = ChannelNorm(num_channels, norm)
        self.ffn = GatedFeedForward(num_channels, expansion=expansion, bias=bias)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        hidden_states = hidden_states + self.attn(self.norm1(hidden_states))
        return hidden_states + self.ffn(self.norm2(hidden_states))


class PatchEmbedding(nn.Module):
    """The first 3x3 convolution, under the name that the releases give it."""

    def __init__(self, in_channels: int, num_channels: int, *, bias: bool = False) -> None:
        """Build it.

        Args:
            in_channels: Of the picture.
            num_channels: Of the features.
            bias: Whether the convolution has one.
        """
        super().__init__()
        self.proj = nn.Conv2d(in_channels, num_channels, 3, padding=1, bias=bias)

    def forward(self, lq: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, num_channels, H, W)."""
        return self.proj(lq)


class Downsample(nn.Module):
    """Half the size and twice the channels."""

    def __init__(self, num_channels: int) -> None:
        """Build it.

        Args:
            num_channels: C of the larger map.
        """
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(num_channels, num_channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2)
        )

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 2C, H/2, W/2)."""
        return self.body(hidden_states)


class Upsample(nn.Module):
    """Twice the size and half the channels."""

    def __init__(self, num_channels: int) -> None:
        """Build it.

        Args:
            num_channels: C of the smaller map.
        """
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(num_channels, 2 * num_channels, 3, padding=1, bias=False), nn.PixelShuffle(2)
        )

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C/2, 2H, 2W)."""
        return self.body(hidden_states)
