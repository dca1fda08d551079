r"""LPIPS v0.1, Zhang et al. 2018 (https://arxiv.org/abs/1801.03924).

d(x, y) = Σ_l mean over places of Σ_c w_lc (x̂_lc − ŷ_lc)², with features x̂ of layer l scaled to unit length at each
place. The trunk is AlexNet (`lpips`, what most papers print) or VGG16 (`lpips_vgg`); the two are not comparable.
Pictures go in as RGB in [−1, 1]: fed with [0, 1] in its place the same network gives other numbers.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ldrestore.metrics.trunks import AlexNetTrunk, Vgg16Trunk, check_one_shape

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What the authors subtract from, and divide, values in [−1, 1] by."""
SMALLEST_SIDES = {"alex": 31, "vgg": 16}
"""Shortest side in pixels that leaves something of the last layer."""

_EPSILON = 1e-10


class Lpips(nn.Module):
    """The distance, differentiable with respect to both pictures; its weights are frozen."""

    shift: Tensor
    scale: Tensor

    def __init__(self, trunk: Literal["alex", "vgg"], weights: Mapping[str, Tensor]) -> None:
        """Build trunk and linear heads.

        Args:
            trunk: Which classifier looks.
            weights: "trunk.convolutions.N.weight" and ".bias", and "heads.L", (C,), of each layer.

        Raises:
            RuntimeError: weights are missing or have other shapes.
        """
        super().__init__()
        self.smallest = SMALLEST_SIDES[trunk]
        self.trunk = AlexNetTrunk() if trunk == "alex" else Vgg16Trunk()
        self.heads = nn.ParameterList(torch.zeros(width) for width in self.trunk.widths)
        self.load_state_dict(dict(weights))
        self.requires_grad_(False).eval()
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of each pair.

        Args:
            x: (B, 3, H, W), RGB in [0, 1].
            y: Same shape.

        Returns:
            (B,), 0 for the same.

        Raises:
            ShapeError: the shapes differ, or a side is too short.
        """
        check_one_shape("LPIPS", x, y, smallest=self.smallest)
        x, y = ((2 * picture - 1 - self.shift) / self.scale for picture in (x, y))
        distance = x.new_zeros(len(x))
        for head, ours, theirs in zip(self.heads, self.trunk.features(x), self.trunk.features(y), strict=True):
            squares = (_unit(ours) - _unit(theirs)).square()  # (B, C, h, w)
            distance = distance + (squares * head.view(-1, 1, 1)).sum(dim=1).mean(dim=(1, 2))
        return distance


def _unit(features: Tensor) -> Tensor:
    """Features scaled to unit length at each place."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON)
