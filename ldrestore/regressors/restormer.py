"""Restormer in the layout of the published checkpoints, Zamir et al. 2022 (https://arxiv.org/abs/2111.09881)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ldrestore.blocks.restormer_block import Downsample, NormKind, PatchEmbedding, TransformerBlock, Upsample
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.weights.fitting import count_modules

SIZE_MULTIPLE = 8


class Restormer(ModelMixin, ConfigMixin):
    """A U of transformer blocks with attention between channels, Fig. 2.

    Three times the size is halved and the channels are doubled. On the way up the skip is concatenated and a 1x1
    convolution halves the channels again, but not at the finest level, which goes on with 2C channels.
    """

    @register_to_config
    def __init__(
        self,
        inp_channels: int = 3,
        out_channels: int = 3,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        LayerNorm_type: NormKind = "WithBias",
        dual_pixel_task: bool = False,
    ) -> None:
        """Build the network; names and defaults are those of the release.

        Args:
            inp_channels: Channels of the picture; 6 for the two views of a dual-pixel sensor.
            out_channels: Channels of the result.
            dim: C at the finest level.
            num_blocks: Blocks of the four levels, finest first; the decoder has as many.
            num_refinement_blocks: Blocks after the decoder, at the finest level.
            heads: Attention heads of the four levels.
            ffn_expansion_factor: See `GatedFeedForward`.
            bias: Whether the convolutions have one.
            LayerNorm_type: "BiasFree" in the published denoisers, "WithBias" in the others.
            dual_pixel_task: Whether the first features, and not the picture, are added before the last convolution.

        Raises:
            ConfigError: not four levels, or the picture cannot be added to a result of other channels.
        """
        super().__init__()
        if len(num_blocks) != 4 or len(heads) != 4:
            raise ConfigError(f"num_blocks and heads need four levels, got {list(num_blocks)} and {list(heads)}")
        if not dual_pixel_task and inp_channels != out_channels:
            raise ConfigError(f"the picture of {inp_channels} channels cannot be added to {out_channels}")

        def level(index: int, *, num_channels: int, count: int) -> nn.Sequential:
            def block() -> TransformerBlock:
                return TransformerBlock(
                    num_channels,
                    num_heads=heads[index],
                    expansion=ffn_expansion_factor,
                    bias=bias,
                    norm=LayerNorm_type,
                )

            return nn.Sequential(*(block() for _ in range(count)))

        self.patch_embed = PatchEmbedding(inp_channels, dim)
        self.encoder_level1 = level(0, num_channels=dim, count=num_blocks[0])
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = level(1, num_channels=2 * dim, count=num_blocks[1])
        self.down2_3 = Downsample(2 * dim)
        self.encoder_level3 = level(2, num_channels=4 * dim, count=num_blocks[2])
        self.down3_4 = Downsample(4 * dim)
        self.latent = level(3, num_channels=8 * dim, count=num_blocks[3])
        self.up4_3 = Upsample(8 * dim)
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=bias)
        self.decoder_level3 = level(2, num_channels=4 * dim, count=num_blocks[2])
        self.up3_2 = Upsample(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=bias)
        self.decoder_level2 = level(1, num_channels=2 * dim, count=num_blocks[1])
        self.up2_1 = Upsample(2 * dim)
        self.decoder_level1 = level(0, num_channels=2 * dim, count=num_blocks[0])
        self.refinement = level(0, num_channels=2 * dim, count=num_refinement_blocks)
        if dual_pixel_task:
            self.skip_conv = nn.Conv2d(dim, 2 * dim, 1, bias=bias)
        self.output = nn.Conv2d(2 * dim, out_channels, 3, padding=1, bias=bias)
        self.size_multiple = SIZE_MULTIPLE

    def forward(self, lq: Tensor) -> Tensor:
        """Restore a batch of any height and width, padded by reflection inside.

        Args:
            lq: (B, inp_channels, H, W), in [0, 1].

        Returns:
            (B, out_channels, H, W), around [0, 1], not clamped.

        Raises:
            ShapeError: not four axes, or another number of channels than `inp_channels`.
        """
        num_channels = self.config["inp_channels"]
        if lq.ndim != 4 or lq.shape[1] != num_channels:
            raise ShapeError(f"expected lq of shape (B, {num_channels}, H, W), got {tuple(lq.shape)}")
        padded = pad_to_multiple(lq, SIZE_MULTIPLE).contiguous(memory_format=torch.channels_last)
        embedded = self.patch_embed(padded)  # (B, C, H, W)
        refined = self.refinement(self._features(embedded))  # (B, 2C, H, W)
        if self.config["dual_pixel_task"]:
            restored = self.output(refined + self.skip_conv(embedded))
        else:
            restored = self.output(refined) + padded
        return crop_to(restored, *lq.shape[-2:])

    def _features(self, embedded: Tensor) -> Tensor:
        """The U: (B, C, H, W) to (B, 2C, H, W)."""
        level1 = self.encoder_level1(embedded)
        level2 = self.encoder_level2(self.down1_2(level1))  # (B, 2C, H/2, W/2)
        level3 = self.encoder_level3(self.down2_3(level2))  # (B, 4C, H/4, W/4)
        latent = self.latent(self.down3_4(level3))  # (B, 8C, H/8, W/8)
        joined = self.reduce_chan_level3(torch.cat([self.up4_3(latent), level3], dim=1))
        joined = self.reduce_chan_level2(torch.cat([self.up3_2(self.decoder_level3(joined)), level2], dim=1))
        return self.decoder_level1(torch.cat([self.up2_1(self.decoder_level2(joined)), level1], dim=1))


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for.

    Args:
        weights: Key to tensor; has "patch_embed.proj.weight", "output.weight" and "latent.0.attn.temperature".
    """
    dim, inp_channels = weights["patch_embed.proj.weight"].shape[:2]
    levels = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    return {
        "inp_channels": inp_channels,
        "out_channels": weights["output.weight"].shape[0],
        "dim": dim,
        "num_blocks": tuple(count_modules(weights, f"{level}.") for level in levels),
        "num_refinement_blocks": count_modules(weights, "refinement."),
        "heads": tuple(len(weights[f"{level}.0.attn.temperature"]) for level in levels),
        "ffn_expansion_factor": _expansion_of(
            [weight for key, weight in weights.items() if key.endswith("ffn.project_out.weight")]
        ),
        "bias": "encoder_level1.0.attn.qkv.bias" in weights,
        "LayerNorm_type": "WithBias" if "encoder_level1.0.norm1.body.bias" in weights else "BiasFree",
        "dual_pixel_task": "skip_conv.weight" in weights,
    }


def _expansion_of(weights: Sequence[Tensor]) -> float:
    """A factor whose product with each level's channels rounds down to what is hidden: the published 2.66 if it does.

    Args:
        weights: Last convolutions of feed-forwards, (C, hidden, 1, 1).
    """
    least = max(weight.shape[1] / weight.shape[0] for weight in weights)
    beyond = min((weight.shape[1] + 1) / weight.shape[0] for weight in weights)
    return 2.66 if least <= 2.66 < beyond else (least + beyond) / 2
