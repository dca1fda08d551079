"""One look at a whole picture: how its light and colour are to be changed, and a code of what it is like."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.naf import NAFBlock
from ldrestore.blocks.zero_layers import start_at_zero
from ldrestore.regressors.bilateral_grid import HALF, NUM_COEFFICIENTS, sliced, transformed

DARK_FLOOR = 1e-3
"""Added to values in [0, 1] before the root that spreads the dark ones."""

DARK_PATCH = 5
"""Side of the patches of the dark channel in pixels of the reduced picture; He et al. 2009 take 15 of a larger one."""

GUIDE_EXPONENTS = (0.2, 2.0)
"""Between these lies the exponent that makes luminance to the guide: small ones spread dark pictures."""


class Relighting(NamedTuple):
    """What a look decides about the light of a whole picture."""

    grid: Tensor
    """(B, K, 12, h, w), see `bilateral_grid.sliced`."""
    exponent: Tensor
    """(B, 1), of the guide."""
    code: Tensor
    """(B, D), what the picture is like and what was said of it."""
    plain_code: Tensor
    """(B, D), the same as if nothing had been said."""


class PictureLook(nn.Module):
    """A reduced copy of the whole picture, and hints, to a bilateral grid; it starts as the identity."""

    def __init__(self, *, num_hints: int, code_dim: int = 128, num_levels: int = 8) -> None:
        """Build it.

        Args:
            num_hints: Length of the hints.
            code_dim: D of the code.
            num_levels: K, cells of the grid along brightness.
        """
        super().__init__()
        self.num_levels = num_levels
        num_seen, first, fine, coarse = 7, 32, 64, 128
        self.fine = nn.Sequential(_halving(num_seen, first), _halving(first, fine), NAFBlock(fine))
        self.coarse = nn.Sequential(_halving(fine, coarse), NAFBlock(coarse), NAFBlock(coarse))
        self.to_code = nn.Sequential(
            nn.Linear(2 * (num_seen + fine + coarse) + 2 * num_seen + num_hints, 2 * code_dim),
            nn.LayerNorm(2 * code_dim),
            nn.GELU(),
            nn.Linear(2 * code_dim, code_dim),
        )
        self.scale_and_shift = nn.Linear(code_dim, 2 * coarse)
        self.deciding = nn.Sequential(NAFBlock(coarse), NAFBlock(coarse))
        self.to_grid = nn.Conv2d(coarse, num_levels * NUM_COEFFICIENTS, 1)
        self.to_exponent = nn.Linear(code_dim, 1)
        self.luminance = nn.Parameter(torch.tensor([0.3, 0.59, 0.11]).log())  # the weights of Rec. 601, softmax
        start_at_zero(self.scale_and_shift, self.to_grid, self.to_exponent)

    def forward(self, reduced: Tensor, hints: Tensor) -> Relighting:
        """Decide.

        Args:
            reduced: (B, 3, h, w), the whole picture, in [0, 1].
            hints: (B, num_hints).
        """
        channels = _spread(reduced)  # (B, 7, h, w)
        fine = self.fine(channels)  # (B, 64, h/4, w/4)
        coarse = self.coarse(fine)  # (B, 128, h/8, w/8)
        small = _block_means(channels)
        parts = [
            *_moments(channels),
            *_moments(fine),
            *_moments(coarse),
            small.amin(dim=(2, 3)),
            small.amax(dim=(2, 3)),
        ]
        code, plain_code = (
            self.to_code(torch.cat([*parts, words], dim=1)) for words in (hints, torch.zeros_like(hints))
        )
        scale, shift = self.scale_and_shift(code)[..., None, None].chunk(2, dim=1)
        decided = self.to_grid(self.deciding(torch.addcmul(shift, coarse, 1 + scale)))  # (B, K * 12, h/8, w/8)
        low, high = GUIDE_EXPONENTS
        middle = (0.5 - low) / (high - low)  # begins at a square root
        exponent = low + (high - low) * torch.sigmoid(self.to_exponent(code) + torch.logit(torch.tensor(middle)))
        return Relighting(decided.unflatten(1, (self.num_levels, NUM_COEFFICIENTS)), exponent, code, plain_code)

    def relight(self, lq: Tensor, relighting: Relighting, window: Tensor) -> Tensor:
        """Change the light of a part of the picture.

        Args:
            lq: (B, 3, H, W), sides even.
            relighting: Of the whole picture.
            window: (B, 4), see `bilateral_grid.places`.

        Returns:
            (B, 3, H, W), around [0, 1].
        """
        weights = self.luminance.softmax(dim=0)[:, None, None]
        luminance = (F.avg_pool2d(lq, HALF) * weights).sum(dim=1, keepdim=True)  # (B, 1, H/2, W/2)
        guide = (luminance.clamp(0, 1) + DARK_FLOOR) ** relighting.exponent[..., None, None]
        coefficients = sliced(relighting.grid, guide.clamp(max=1), window)  # (B, 12, H/2, W/2)
        return transformed(lq, F.interpolate(coefficients, lq.shape[-2:], mode="bilinear", align_corners=False))


def _halving(inner: int, outer: int) -> nn.Module:
    """A convolution of stride 2 with its activation."""
    return nn.Sequential(nn.Conv2d(inner, outer, 3, stride=2, padding=1), nn.GELU())


def _spread(reduced: Tensor) -> Tensor:
    """The picture, its cube roots, in which dark pictures differ, and its dark channel: (B, 7, h, w)."""
    darkest = reduced.amin(dim=1, keepdim=True)
    dark_channel = -F.max_pool2d(-darkest, DARK_PATCH, stride=1, padding=DARK_PATCH // 2)
    return torch.cat([reduced, (reduced.clamp(min=0) + DARK_FLOOR) ** (1 / 3), dark_channel], dim=1)


def _block_means(features: Tensor) -> Tensor:
    """Means of blocks of 4 x 4 positions, of what there is at the right and lower border: (B, C, h/4, w/4), rounded up.

    As `avg_pool2d` with `ceil_mode`, whose output size has a branch on the input's that an exported graph cannot have.
    """
    beyond = (0, 3, 0, 3)
    shares = F.avg_pool2d(F.pad(torch.ones_like(features[:1, :1]), beyond), 4)
    return F.avg_pool2d(F.pad(features, beyond), 4) / shares


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the positions: (B, C) each."""
    variance, mean = torch.var_mean(features.float(), dim=(2, 3), correction=0)
    return mean.to(features), torch.sqrt(variance + 1e-6).to(features)
