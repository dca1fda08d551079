"""PromptIR in the layout of the published checkpoint, Potlapalli et al. 2023 (https://arxiv.org/abs/2306.13090)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.observation import observed
from ldrestore.blocks.restormer_block import Downsample, NormKind, PatchEmbedding, TransformerBlock, Upsample
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.regressors.restormer import options_of_checkpoint as options_of_body
from ldrestore.tiling.shared_statistics import MapStatistic, channel_means

SIZE_MULTIPLE = 8


class PromptGeneration(nn.Module):
    """Prompt generation module, Eq. 2: the features choose how to mix learned maps, which are resized to theirs."""

    def __init__(self, num_channels: int, *, prompt_dim: int, num_prompts: int, prompt_size: int) -> None:
        """Draw the prompts uniformly from [0, 1), as the release does.

        Args:
            num_channels: C of the features.
            prompt_dim: D, channels of the prompts.
            num_prompts: How many there are.
            prompt_size: S, their height and width.
        """
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, num_prompts, prompt_dim, prompt_size, prompt_size))
        self.means = MapStatistic(channel_means)
        self.linear_layer = nn.Linear(num_channels, num_prompts)
        self.conv3x3 = nn.Conv2d(prompt_dim, prompt_dim, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, H, W)."""
        weights = self.weights_of(features)
        mixed = torch.einsum("bn,ndhw->bdhw", weights, self.prompt_param[0])  # (B, D, S, S)
        return self.conv3x3(F.interpolate(mixed, features.shape[-2:], mode="bilinear"))

    def weights_of(self, features: Tensor) -> Tensor:
        """How strongly each prompt is used: (B, C, H, W) to (B, N), which sum to 1."""
        return self.linear_layer(self.means(features).flatten(1)).softmax(dim=-1)


class PromptIR(ModelMixin, ConfigMixin):
    """A Restormer whose decoder levels are preceded by prompts, Fig. 2.

    Before each upsampling the prompt is concatenated, a transformer block lets them meet (the prompt interaction
    module, Eq. 3) and a 1x1 convolution reduces the channels. As released, the block has the heads of the third level
    at all three places, and the latent is reduced to 4C before it is upsampled.

    The release carries six 1x1 convolutions that its forward pass never uses. They are here, frozen, so that the
    published weights load whole.
    """

    @register_to_config
    def __init__(
        self,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        LayerNorm_type: NormKind = "WithBias",
        prompt_dims: Sequence[int] = (64, 128, 320),
        prompt_sizes: Sequence[int] = (64, 32, 16),
        num_prompts: int = 5,
    ) -> None:
        """Build the network; names and defaults are those of the release, where it has them.

        Args:
            dim: C at the finest level.
            num_blocks: Blocks of the four levels, finest first; the decoder has as many.
            num_refinement_blocks: Blocks after the decoder, at the finest level.
            heads: Attention heads of the four levels.
            ffn_expansion_factor: See `GatedFeedForward`.
            bias: Whether the convolutions of the blocks have one.
            LayerNorm_type: See `ChannelNorm`.
            prompt_dims: D of the three prompts, finest first.
            prompt_sizes: Their height and width.
            num_prompts: How many maps each of the three mixes.

        Raises:
            ConfigError: not four levels or three prompts.
        """
        super().__init__()
        if (len(num_blocks), len(heads), len(prompt_dims), len(prompt_sizes)) != (4, 4, 3, 3):
            raise ConfigError("PromptIR needs four num_blocks and heads, three prompt_dims and prompt_sizes")
        self._add_prompts(dim, prompt_dims, prompt_sizes, num_prompts)
        self._add_encoder(dim)
        self._add_decoder(dim, prompt_dims)
        self._add_unused(dim, prompt_dims)
        self.size_multiple = SIZE_MULTIPLE

    def _add_prompts(self, dim: int, dims: Sequence[int], sizes: Sequence[int], num_prompts: int) -> None:
        """One generation module before each upsampling."""
        self.prompt1 = PromptGeneration(2 * dim, prompt_dim=dims[0], num_prompts=num_prompts, prompt_size=sizes[0])
        self.prompt2 = PromptGeneration(4 * dim, prompt_dim=dims[1], num_prompts=num_prompts, prompt_size=sizes[1])
        self.prompt3 = PromptGeneration(8 * dim, prompt_dim=dims[2], num_prompts=num_prompts, prompt_size=sizes[2])

    def _add_encoder(self, dim: int) -> None:
        """From the picture to the latent."""
        self.patch_embed = PatchEmbedding(3, dim)
        self.encoder_level1 = self._level(0, num_channels=dim)
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = self._level(1, num_channels=2 * dim)
        self.down2_3 = Downsample(2 * dim)
        self.encoder_level3 = self._level(2, num_channels=4 * dim)
        self.down3_4 = Downsample(4 * dim)
        self.latent = self._level(3, num_channels=8 * dim)

    def _add_decoder(self, dim: int, prompt_dims: Sequence[int]) -> None:
        """From the latent to the residual of the picture."""
        bias = self.config["bias"]
        with1, with2, with3 = 2 * dim + prompt_dims[0], 4 * dim + prompt_dims[1], 8 * dim + prompt_dims[2]
        self.noise_level3 = self._block(2, num_channels=with3)
        self.reduce_noise_level3 = nn.Conv2d(with3, 4 * dim, 1, bias=bias)
        self.up4_3 = Upsample(4 * dim)
        self.reduce_chan_level3 = nn.Conv2d(6 * dim, 4 * dim, 1, bias=bias)
        self.decoder_level3 = self._level(2, num_channels=4 * dim)
        self.noise_level2 = self._block(2, num_channels=with2)
        self.reduce_noise_level2 = nn.Conv2d(with2, 4 * dim, 1, bias=bias)
        self.up3_2 = Upsample(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=bias)
        self.decoder_level2 = self._level(1, num_channels=2 * dim)
        self.noise_level1 = self._block(2, num_channels=with1)
        self.reduce_noise_level1 = nn.Conv2d(with1, 2 * dim, 1, bias=bias)
        self.up2_1 = Upsample(2 * dim)
        self.decoder_level1 = self._level(0, num_channels=2 * dim)
        self.refinement = self._level(0, num_channels=2 * dim, count=self.config["num_refinement_blocks"])
        self.output = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=bias)

    def _add_unused(self, dim: int, prompt_dims: Sequence[int]) -> None:
        """What the release carries and never calls."""
        d1, d2, d3 = prompt_dims
        shapes = {
            "chnl_reduce1": (d1, d1),
            "chnl_reduce2": (d2, d2),
            "chnl_reduce3": (d3, d3 * 4 // 5),
            "reduce_noise_channel_1": (dim + d1, dim),
            "reduce_noise_channel_2": (2 * dim + d2, 2 * dim),
            "reduce_noise_channel_3": (4 * dim + 2 * d2, 4 * dim),
        }
        for name, (in_channels, num_channels) in shapes.items():
            unused = nn.Conv2d(in_channels, num_channels, 1, bias=False)
            self.add_module(name, unused.requires_grad_(False))

    def _block(self, level: int, *, num_channels: int) -> TransformerBlock:
        """A transformer block with the heads of a level."""
        return TransformerBlock(
            num_channels,
            num_heads=self.config["heads"][level],
            expansion=self.config["ffn_expansion_factor"],
            bias=self.config["bias"],
            norm=self.config["LayerNorm_type"],
        )

    def _level(self, level: int, *, num_channels: int, count: int | None = None) -> nn.Sequential:
        """The blocks of a level, as many as `num_blocks` says or `count`."""
        num_blocks = self.config["num_blocks"][level] if count is None else count
        return nn.Sequential(*(self._block(level, num_channels=num_channels) for _ in range(num_blocks)))

    def forward(self, lq: Tensor) -> Tensor:
        """Restore a batch of any height and width, padded by reflection inside.

        Args:
            lq: (B, 3, H, W), in [0, 1].

        Returns:
            (B, 3, H, W), around [0, 1], not clamped.

        Raises:
            ShapeError: not four axes, or not three channels.
        """
        if lq.ndim != 4 or lq.shape[1] != 3:
            raise ShapeError(f"expected lq of shape (B, 3, H, W), got {tuple(lq.shape)}")
        padded = pad_to_multiple(lq, SIZE_MULTIPLE).contiguous(memory_format=torch.channels_last)
        level1 = self.encoder_level1(self.patch_embed(padded))  # (B, C, H, W)
        level2 = self.encoder_level2(self.down1_2(level1))  # (B, 2C, H/2, W/2)
        level3 = self.encoder_level3(self.down2_3(level2))  # (B, 4C, H/4, W/4)
        latent = self.latent(self.down3_4(level3))  # (B, 8C, H/8, W/8)
        prompted = self.reduce_noise_level3(self.noise_level3(_with_prompt(latent, self.prompt3)))
        joined = self.reduce_chan_level3(torch.cat([self.up4_3(prompted), level3], dim=1))
        prompted = _with_prompt(self.decoder_level3(joined), self.prompt2)
        prompted = self.reduce_noise_level2(self.noise_level2(prompted))
        joined = self.reduce_chan_level2(torch.cat([self.up3_2(prompted), level2], dim=1))
        prompted = _with_prompt(self.decoder_level2(joined), self.prompt1)
        prompted = self.reduce_noise_level1(self.noise_level1(prompted))
        decoded = self.decoder_level1(torch.cat([self.up2_1(prompted), level1], dim=1))  # (B, 2C, H, W)
        restored = self.output(self.refinement(decoded)) + padded
        return crop_to(restored, *lq.shape[-2:])

    @torch.no_grad()
    def usage(self, lq: Tensor) -> dict[str, Tensor]:
        """How strongly each prompt is used, the softmax weights of Eq. 2, from one forward pass.

        Args:
            lq: See `forward`.

        Returns:
            "prompt3", "prompt2" and "prompt1", coarsest first, as they enter, to (B, N); each row sums to 1.

        Raises:
            ShapeError: not four axes, or not three channels.
        """
        choices = {name: getattr(self, name).linear_layer for name in ("prompt3", "prompt2", "prompt1")}
        with observed(choices) as logits:
            self(lq)
        return {name: values.softmax(dim=-1) for name, values in logits.items()}


def _with_prompt(features: Tensor, prompt: PromptGeneration) -> Tensor:
    """(B, C, H, W) to (B, C + D, H, W)."""
    return torch.cat([features, prompt(features)], dim=1)


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for.

    Args:
        weights: Key to tensor; those of a Restormer without bias, and "prompt1.prompt_param" and its two fellows.
    """
    body = options_of_body(weights)
    prompts = [weights[f"prompt{number}.prompt_param"].shape for number in (1, 2, 3)]
    own = {key: value for key, value in body.items() if key not in ("inp_channels", "out_channels", "dual_pixel_task")}
    return {
        **own,
        "prompt_dims": tuple(shape[2] for shape in prompts),
        "prompt_sizes": tuple(shape[3] for shape in prompts),
        "num_prompts": prompts[0][1],
    }
