r"""DISTS, Ding et al. 2020 (https://arxiv.org/abs/2004.07728).

D(x, y) = 1 − Σ over layers and channels of α l + β s, with the similarity of the channels' means
l = (2 μx μy + c) / (μx² + μy² + c) and of their variation s = (2 σxy + c) / (σx² + σy² + c), c = 1e-6. The layers are
the picture itself and VGG16's five stages, between which it is halved by a blur of squares (L2 pooling) and not by
maxima. Nothing is resized here; the authors' script shrinks large pictures to 256 first.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ldrestore.metrics.trunks import IMAGENET_MEAN, IMAGENET_STD, Vgg16Trunk, check_one_shape

CONSTANT = 1e-6
"""c of both similarities."""
SMALLEST_SIDE = 16
"""Shortest side in pixels that leaves something of the last stage."""


class Dists(nn.Module):
    """The distance, differentiable with respect to both pictures; its weights are frozen."""

    blur: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Build the trunk.

        Args:
            weights: "trunk.convolutions.N.weight" and ".bias"; "alpha" and "beta", (1475,), the picture's three
                channels first.

        Raises:
            RuntimeError: weights are missing or have other shapes.
        """
        super().__init__()
        self.trunk = Vgg16Trunk()
        self.sizes = (3, *self.trunk.widths)
        self.alpha, self.beta = (nn.Parameter(torch.zeros(sum(self.sizes))) for _ in range(2))
        self.load_state_dict(dict(weights))
        self.requires_grad_(False).eval()
        blur = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("blur", torch.outer(blur, blur)[None, None], persistent=False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

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
        check_one_shape("DISTS", x, y, smallest=SMALLEST_SIDE)
        total = self.alpha.sum() + self.beta.sum()
        similarity = x.new_zeros(len(x))
        shares = zip(self.alpha.split(self.sizes), self.beta.split(self.sizes), strict=True)
        for (alpha, beta), ours, theirs in zip(shares, self._layers(x), self._layers(y), strict=True):
            means, variation = _similarities(ours, theirs)  # (B, C)
            similarity = similarity + (alpha * means + beta * variation).sum(dim=1) / total
        return 1 - similarity

    def _layers(self, picture: Tensor) -> list[Tensor]:
        """The picture and what leaves the five stages."""
        return [picture, *self.trunk.features((picture - self.mean) / self.std, pool=self._pool)]

    def _pool(self, features: Tensor) -> Tensor:
        """L2 pooling, Hénaff and Simoncelli 2015 (https://arxiv.org/abs/1511.06394): (B, C, h, w) to half of it."""
        channels = features.shape[1]
        kernel = self.blur.expand(channels, 1, 3, 3)
        squares = nn.functional.conv2d(features.square(), kernel, stride=2, padding=1, groups=channels)
        return (squares + 1e-12).sqrt()


def _similarities(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Of the means and of the variation of each channel, both (B, C)."""
    mean_x, mean_y = x.mean(dim=(2, 3)), y.mean(dim=(2, 3))
    centred_x, centred_y = x - mean_x[..., None, None], y - mean_y[..., None, None]
    var_x, var_y = centred_x.square().mean(dim=(2, 3)), centred_y.square().mean(dim=(2, 3))
    cov = (x * y).mean(dim=(2, 3)) - mean_x * mean_y
    means = (2 * mean_x * mean_y + CONSTANT) / (mean_x.square() + mean_y.square() + CONSTANT)
    return means, (2 * cov + CONSTANT) / (var_x + var_y + CONSTANT)
