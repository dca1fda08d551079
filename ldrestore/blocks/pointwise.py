"""Convolutions of one pixel: a product with a matrix at each position."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution that is as quick on one thread of a CPU as on several."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Start as `nn.Conv2d` does.

        Args:
            in_channels: C of the feature map.
            out_channels: Channels of the result.
        """
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out_channels, H, W)."""
        if not _is_slow(input):
            return super().forward(input)
        return F.conv2d(input, self.weight, self.bias, dilation=2)  # the taps of one pixel have no distance


def _is_slow(features: Tensor) -> bool:
    """Whether torch would unfold the map first, and add the bias in a pass of its own.

    It does so for small kernels without dilation on a single thread; with more threads, or dilation, it calls oneDNN.
    Backwards oneDNN is the slower one. What is exported shall not carry a dilation.
    """
    return (
        features.device.type == "cpu"
        and features.dtype == torch.float32
        and torch.get_num_threads() == 1
        and torch.backends.mkldnn.is_available()
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    )
