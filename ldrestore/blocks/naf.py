"""The nonlinear-activation-free block of NAFNet, Chen et al. 2022 (https://arxiv.org/abs/2204.04676), Fig. 3c."""

import torch
from torch import Tensor, nn

from ldrestore.blocks.layer_norm import LayerNorm2d
from ldrestore.blocks.pointwise import PointwiseConv2d
from ldrestore.tiling.shared_statistics import MapStatistic, channel_means


class SimpleGate(nn.Module):
    """Product of the two halves of the channels, Eq. 4 of Chen et al. 2022: (B, 2C, H, W) to (B, C, H, W)."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, 2C, H, W) to (B, C, H, W)."""
        left, right = hidden_states.chunk(2, dim=1)
        return left * right


class NAFBlock(nn.Module):
    """Gated depth-wise convolution with simplified channel attention, then a gated feed-forward, both residual.

    Attribute names are those of the published checkpoints.
    """

    def __init__(
        self, num_channels: int, *, expansion: int = 2, ffn_expansion: int = 2, kernel_size: int = 3, dilation: int = 1
    ) -> None:
        """Start as the identity: `beta` and `gamma`, the weights of the two residuals, are zero.

        Args:
            num_channels: C of the feature map.
            kernel_size: Of the depth-wise convolution, odd; the published networks have 3.
            dilation: Distance of its taps.
            expansion: Channels of the depth-wise convolution as a multiple of C.
            ffn_expansion: Channels inside the feed-forward as a multiple of C.
        """
        super().__init__()
        wide, ffn_wide = num_channels * expansion, num_channels * ffn_expansion
        self.norm1 = LayerNorm2d(num_channels)
        self.conv1 = PointwiseConv2d(num_channels, wide)
        reach = kernel_size // 2 * dilation
        self.conv2 = nn.Conv2d(wide, wide, kernel_size, padding=reach, dilation=dilation, groups=wide)
        self.sg = SimpleGate()
        self.sca = nn.Sequential(MapStatistic(channel_means), nn.Conv2d(wide // 2, wide // 2, 1))
        self.conv3 = PointwiseConv2d(wide // 2, num_channels)
        self.norm2 = LayerNorm2d(num_channels)
        self.conv4 = PointwiseConv2d(num_channels, ffn_wide)
        self.conv5 = PointwiseConv2d(ffn_wide // 2, num_channels)
        self.beta = nn.Parameter(torch.zeros(1, num_channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, num_channels, 1, 1))

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        gated = self.sg(self.conv2(self.conv1(self.norm1(hidden_states))))  # (B, C, H, W)
        hidden_states = torch.addcmul(hidden_states, self.conv3(gated * self.sca(gated)), self.beta)
        gated = self.sg(self.conv4(self.norm2(hidden_states)))  # (B, C, H, W)
        return torch.addcmul(hidden_states, self.conv5(gated), self.gamma)
