"""NAFNet in the layout of the published checkpoints, Chen et al. 2022 (https://arxiv.org/abs/2204.04676)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.naf import NAFBlock
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.weights.fitting import count_modules

Condition = Callable[[list[Tensor]], Sequence[Callable[[Tensor], Tensor]]]
"""From the features of the encoder levels, finest first, and of the middle, what changes the features before each
decoder level, coarsest first: (B, C, H, W) to the same shape."""


class NAFNet(ModelMixin, ConfigMixin):
    """A U of NAFBlocks that predicts the residual of the picture.

    Each level halves the size and doubles the channels (2x2 convolution of stride 2) and comes back through a 1x1
    convolution and a pixel shuffle; skips are added. The picture is padded with zeros at the right and bottom to a
    multiple of `size_multiple` inside, as in the release.

    With `squeeze` above 1 the U works on the pixel-unshuffled picture, as FFDNet does (Zhang et al. 2018,
    https://arxiv.org/abs/1710.04026): `squeeze ** 2` times fewer positions at the finest level, which is what makes a
    network of this kind fast on a CPU. With `is_affine` the result is lq + gain * lq + residual: haze, veils and dark
    exposures are affine in the picture (He et al. 2009, Eq. 1): a smooth gain undoes them, and the features need not
    carry the picture itself. The published networks have neither.
    """

    @register_to_config
    def __init__(
        self,
        img_channel: int = 3,
        width: int = 32,
        middle_blk_num: int = 12,
        enc_blk_nums: Sequence[int] = (2, 2, 4, 8),
        dec_blk_nums: Sequence[int] = (2, 2, 2, 2),
        squeeze: int = 1,
        is_affine: bool = False,
    ) -> None:
        """Build the network; the defaults are the published SIDD layout of width 32.

        Args:
            img_channel: Channels of the picture.
            width: Channels at the finest level; they double with each level.
            middle_blk_num: Blocks at the lowest resolution.
            enc_blk_nums: Blocks of each encoder level, finest first.
            dec_blk_nums: Blocks of each decoder level, coarsest first.
            squeeze: Side of the pixel blocks that are folded into channels before the first convolution.
            is_affine: Whether a gain of each pixel is predicted besides the residual.

        Raises:
            ConfigError: encoder and decoder differ in their number of levels, or a size is not positive.
        """
        super().__init__()
        if len(enc_blk_nums) != len(dec_blk_nums):
            raise ConfigError(
                f"enc_blk_nums and dec_blk_nums must be equally long, got {list(enc_blk_nums)} and {list(dec_blk_nums)}"
            )
        if min(img_channel, width, squeeze) < 1:
            raise ConfigError(f"img_channel, width and squeeze must be positive, got {img_channel}, {width}, {squeeze}")
        folded = img_channel * squeeze**2
        self.intro = nn.Conv2d(folded, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 2 * folded if is_affine else folded, 3, padding=1)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        for num_blocks in enc_blk_nums:
            self.encoders.append(nn.Sequential(*(NAFBlock(width) for _ in range(num_blocks))))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, stride=2))
            width *= 2
        self.middle_blks = nn.Sequential(*(NAFBlock(width) for _ in range(middle_blk_num)))
        self.ups, self.decoders = nn.ModuleList(), nn.ModuleList()
        for num_blocks in dec_blk_nums:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(nn.Sequential(*(NAFBlock(width) for _ in range(num_blocks))))
        self.size_multiple = squeeze * 2 ** len(enc_blk_nums)

    def forward(self, lq: Tensor, condition: Condition | None = None) -> Tensor:
        """Restore a batch of any height and width.

        Args:
            lq: (B, C, H, W), in [0, 1].
            condition: Sees the features on the way down and says what changes them on the way up; None for nothing.

        Returns:
            (B, C, H, W), around [0, 1], not clamped.

        Raises:
            ShapeError: not four axes, or another number of channels than `img_channel`.
        """
        if lq.ndim != 4 or lq.shape[1] != self.config["img_channel"]:
            raise ShapeError(f"expected lq of shape (B, {self.config['img_channel']}, H, W), got {tuple(lq.shape)}")
        height, width = lq.shape[-2:]
        padded = F.pad(lq, (0, -width % self.size_multiple, 0, -height % self.size_multiple))
        padded = padded.contiguous(memory_format=torch.channels_last)
        output = self._output(padded, condition)
        if self.config["is_affine"]:
            residual, gain = output.chunk(2, dim=1)  # (B, C, H, W) each
            output = residual + gain * padded
        return (padded + output)[..., :height, :width]

    def _output(self, padded: Tensor, condition: Condition | None) -> Tensor:
        """(B, C, H, W) whose sides are multiples of `size_multiple`, to the same, or to 2C channels."""
        squeeze = self.config["squeeze"]
        hidden_states = self.intro(F.pixel_unshuffle(padded, squeeze))  # (B, width, H/s, W/s)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            hidden_states = encoder(hidden_states)
            skips.append(hidden_states)
            hidden_states = down(hidden_states)  # (B, 2C, H/2, W/2)
        hidden_states = self.middle_blks(hidden_states)
        injections: Sequence[Callable[[Tensor], Tensor]] = [nn.Identity()] * len(skips)
        if condition is not None:
            injections = condition([*skips, hidden_states])
        for up, inject, decoder in zip(self.ups, injections, self.decoders, strict=True):
            hidden_states = decoder(inject(up(hidden_states) + skips.pop()))  # (B, C/2, 2H, 2W)
        return F.pixel_shuffle(self.ending(hidden_states), squeeze)


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for.

    Args:
        weights: Key to tensor; has "intro.weight" and "ending.weight".
    """
    width, folded = weights["intro.weight"].shape[:2]
    img_channel, squeeze = _unfolded(folded)
    return {
        "img_channel": img_channel,
        "width": width,
        "middle_blk_num": count_modules(weights, "middle_blks."),
        "enc_blk_nums": _blocks_of_levels(weights, "encoders."),
        "dec_blk_nums": _blocks_of_levels(weights, "decoders."),
        "squeeze": squeeze,
        "is_affine": weights["ending.weight"].shape[0] == 2 * folded,
    }


def _unfolded(folded: int) -> tuple[int, int]:
    """Channels of the picture and side of the pixel blocks: colour or grey where it can be, else nothing is folded."""
    for img_channel in (3, 1):  # 3 a^2 is never b^2, so that at most one of the two fits
        squeeze = math.isqrt(folded // img_channel)
        if img_channel * squeeze**2 == folded:
            return img_channel, squeeze
    return folded, 1


def _blocks_of_levels(weights: Mapping[str, Tensor], prefix: str) -> tuple[int, ...]:
    """Number of blocks in each level."""
    return tuple(count_modules(weights, f"{prefix}{level}.") for level in range(count_modules(weights, prefix)))
