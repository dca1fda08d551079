"""Layer normalisation over the channels of a feature map."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.Module):
    """Normalise each pixel over its channels, then scale and shift (Ba et al. 2016, https://arxiv.org/abs/1607.06450).

    The variance is the biased one. Written with `F.layer_norm`, so that it exports and compiles.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        """Start as plain normalisation: weight one, bias zero.

        Args:
            num_channels: C of the feature map.
            eps: Added to the variance.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        channels_last = hidden_states.permute(0, 2, 3, 1)  # (B, H, W, C)
        normed = F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)  # (B, C, H, W)
