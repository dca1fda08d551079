"""The judge of adversarial training: it says of each patch of a picture whether it looks real.

Isola et al. 2017, PatchGAN (https://arxiv.org/abs/1611.07004), with the spectral normalisation of Miyato et al. 2018
(https://arxiv.org/abs/1802.05957) in place of batch normalisation, so that pictures of a batch are judged apart.
"""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

LEAK = 0.2
"""Slope of the activations below zero, as published."""


class PatchDiscriminator(nn.Module):
    """Strided convolutions of kernel 4; a score sees a patch of 22, 46 or 94 pixels with 2, 3 or 4 layers.

    Each pass in training mode makes one step of the estimate of the layers' norms.
    """

    def __init__(self, base_channels: int = 64, *, num_layers: int = 3) -> None:
        """Build it.

        Args:
            base_channels: C after the first layer; doubles with every layer up to 8 C.
            num_layers: Layers that halve the resolution.
        """
        super().__init__()
        widths = [base_channels * min(2**index, 8) for index in range(num_layers)]
        layers: list[nn.Module] = []
        for before, after in zip([3, *widths], widths, strict=False):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 4, padding=1)))

    def forward(self, images: Tensor) -> Tensor:
        """Scores of patches, above 0 for what looks real.

        Args:
            images: (B, 3, H, W), in [0, 1]; sides of 2^(num_layers + 1) pixels at least.

        Returns:
            (B, 1, H / 2^num_layers - 1, W / 2^num_layers - 1), rounded down.
        """
        return self.layers(images * 2 - 1)
