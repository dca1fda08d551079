"""MoCE-IR in the layout of the published checkpoints, Zamfir et al. 2025 (https://arxiv.org/abs/2411.18466)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ldrestore.blocks.restormer_block import ChannelNorm, Downsample, GatedFeedForward, PatchEmbedding, Upsample
from ldrestore.blocks.routing import Routing
from ldrestore.blocks.transposed_attention import TransposedAttention, TransposedCrossAttention
from ldrestore.blocks.typed_modules import ModulesOf
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.regressors.complexity_experts import ExpertLayer, RoutingNoise
from ldrestore.tiling.shared_statistics import MapStatistic, channel_means
from ldrestore.weights.fitting import count_modules

SIZE_MULTIPLE = 8
EXPANSION = 2
"""Hidden channels of every feed-forward as a multiple of C."""


class HighPass(nn.Module):
    """A depth-wise 3x3 convolution that begins as the Laplacian of all eight neighbours.

    The release means to freeze it and does not, so that its published weights hold trained kernels: a parameter here,
    too.
    """

    def __init__(self, num_channels: int) -> None:
        """Start as the Laplacian.

        Args:
            num_channels: C of the features.
        """
        super().__init__()
        self.conv = nn.Conv2d(num_channels, num_channels, 3, padding=1, groups=num_channels, bias=False)
        laplacian = torch.full((3, 3), -1.0)
        laplacian[1, 1] = 8
        with torch.no_grad():
            self.conv.weight.copy_(laplacian)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.conv(hidden_states)


class FrequencyEmbedding(nn.Module):
    """High-frequency guidance: how much of them the latent holds, told to all routers."""

    def __init__(self, num_channels: int) -> None:
        """Build it.

        Args:
            num_channels: C of the latent, also the embedding's dimension.
        """
        super().__init__()
        self.high_conv = nn.Sequential(HighPass(num_channels), nn.GELU())
        self.means = MapStatistic(channel_means)
        self.mlp = nn.Sequential(
            nn.Linear(num_channels, 2 * num_channels), nn.GELU(), nn.Linear(2 * num_channels, num_channels)
        )

    def forward(self, latent: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C)."""
        return self.mlp(self.means(self.high_conv(latent)).flatten(1))


class EncoderBlock(nn.Module):
    """Restormer's block with biases, under the names of the release."""

    def __init__(self, num_channels: int, *, num_heads: int) -> None:
        """Build it.

        Args:
            num_channels: C of the features.
            num_heads: See `TransposedAttention`.
        """
        super().__init__()
        self.norms = nn.ModuleList(ChannelNorm(num_channels, "WithBias") for _ in range(2))
        self.mixer = TransposedAttention(num_channels, num_heads=num_heads, bias=True)
        self.ffn = GatedFeedForward(num_channels, expansion=EXPANSION, bias=True)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        hidden_states = hidden_states + self.mixer(self.norms[0](hidden_states))
        return hidden_states + self.ffn(self.norms[1](hidden_states))


class DecoderBlock(nn.Module):
    """A shared branch for all pictures, an expert for each, and cross-attention of the second to the first.

    The experts' result makes the queries alone, and a query has unit length over the positions: the probability with
    which it is multiplied cancels. The routers, and the frequency embedding, thus learn from the balance alone; that is
    how the release is built, and its weights with it.
    """

    def __init__(self, num_channels: int, *, num_heads: int, adapter: ExpertLayer) -> None:
        """Build it.

        Args:
            num_channels: C of the features.
            num_heads: Of both attentions.
            adapter: Router and experts for C channels.
        """
        super().__init__()
        self.norms = nn.ModuleList(ChannelNorm(num_channels, "WithBias") for _ in range(2))
        self.proj = nn.ModuleList(nn.Conv2d(num_channels, num_channels, 1) for _ in range(2))
        self.shared = TransposedAttention(num_channels, num_heads=num_heads)
        self.mixer = TransposedCrossAttention(num_channels, num_heads=num_heads, kernel_size=7)
        self.ffn = GatedFeedForward(num_channels, expansion=EXPANSION)
        self.adapter = adapter

    def forward(self, hidden_states: Tensor, frequencies: Tensor) -> tuple[Tensor, Routing]:
        """Refine features.

        Args:
            hidden_states: (B, C, H, W).
            frequencies: (B, D), the embedding of the latent's high frequencies.

        Returns:
            (B, C, H, W), and what the router said.
        """
        normed = self.norms[0](hidden_states)
        shared = self.shared(self.proj[0](normed))
        adapted, routing = self.adapter(self.proj[1](normed), shared, frequencies)
        hidden_states = hidden_states + self.mixer(adapted, shared)
        return hidden_states + self.ffn(self.norms[1](hidden_states)), routing


class BlockGroup(nn.Module):
    """The blocks of one level, under the name of the release."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        """Keep them.

        Args:
            blocks: In their order.
        """
        super().__init__()
        self.layers = nn.ModuleList(blocks)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, through encoder blocks."""
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        return hidden_states


class MoCEIR(ModelMixin, ConfigMixin):
    """A U of transformer blocks whose decoder sends each picture to one of several experts of growing cost.

    Encoder, latent and refinement are Restormer's blocks. Unlike Restormer, the finest level of the decoder goes on
    with C channels. Each picture of a batch is routed by itself, and without noise outside training unless asked for.
    """

    @register_to_config
    def __init__(
        self,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_dec_blocks: Sequence[int] = (2, 4, 4),
        heads: Sequence[int] = (1, 2, 4, 8),
        num_refinement_blocks: int = 4,
        num_experts: int = 4,
        rank: int = 2,
        with_complexity: bool = True,
        routing_noise: RoutingNoise = "training",
        expert: int | None = None,
    ) -> None:
        """Build the network; names and defaults are those of the release, where it has them.

        Args:
            dim: C at the finest level, 48 for MoCE-IR and 32 for MoCE-IR-S.
            num_blocks: Blocks of the four levels of the encoder, finest first, the latent last.
            num_dec_blocks: Blocks of the three levels of the decoder, finest first.
            heads: Attention heads of the four levels.
            num_refinement_blocks: Blocks after the decoder, at the finest level.
            num_experts: Experts of each block of the decoder.
            rank: The base by which the experts' ranks grow, see `ExpertLayer`.
            with_complexity: Whether the auxiliary loss prefers cheap experts, as in the paper, or asks for even use of
                all; the published training command leaves it off.
            routing_noise: "training" adds noise to the choice in training mode, "never" never, and "released" always,
                as the release does: results then differ from call to call.
            expert: Index of the expert that all pictures take in all blocks, 0 the cheapest; None to let the routers
                choose.

        Raises:
            ConfigError: not four levels, or the routing's options do not fit.
        """
        super().__init__()
        if (len(num_blocks), len(heads), len(num_dec_blocks)) != (4, 4, 3):
            raise ConfigError("MoCE-IR needs four num_blocks and heads, and three num_dec_blocks")

        def encoders(index: int, *, count: int) -> BlockGroup:
            return BlockGroup([EncoderBlock(dim * 2**index, num_heads=heads[index]) for _ in range(count)])

        def decoder(index: int) -> nn.ModuleList:
            num_channels = dim * 2**index
            blocks = [self._decoder_block(num_channels, num_heads=heads[index]) for _ in range(num_dec_blocks[index])]
            fuse = nn.Conv2d(2 * num_channels, num_channels, 1, bias=False)
            return nn.ModuleList([Upsample(2 * num_channels), fuse, BlockGroup(blocks)])

        self.patch_embed = PatchEmbedding(3, dim)
        self.freq_embed = FrequencyEmbedding(8 * dim)
        self.enc: ModulesOf[nn.ModuleList] = ModulesOf(
            nn.ModuleList([encoders(index, count=num_blocks[index]), Downsample(dim * 2**index)]) for index in range(3)
        )
        self.latent = encoders(3, count=num_blocks[3])
        self.dec: ModulesOf[nn.ModuleList] = ModulesOf(decoder(index) for index in (2, 1, 0))
        self.refinement = encoders(0, count=num_refinement_blocks)
        self.output = nn.Conv2d(dim, 3, 3, padding=1, bias=False)
        self.size_multiple = SIZE_MULTIPLE

    def _decoder_block(self, num_channels: int, *, num_heads: int) -> DecoderBlock:
        """One block of the decoder, with the routing that the config asks for."""
        adapter = ExpertLayer(
            num_channels,
            frequency_dim=8 * self.config["dim"],
            num_experts=self.config["num_experts"],
            rank=self.config["rank"],
            with_complexity=self.config["with_complexity"],
            noise=self.config["routing_noise"],
            expert=self.config["expert"],
        )
        return DecoderBlock(num_channels, num_heads=num_heads, adapter=adapter)

    def forward(self, lq: Tensor, *, return_auxiliary: bool = False) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Restore a batch of any height and width, padded by reflection inside.

        Args:
            lq: (B, 3, H, W), in [0, 1].
            return_auxiliary: Whether to return the routers' loss, too.

        Returns:
            (B, 3, H, W), around [0, 1], not clamped; with `return_auxiliary` also "balance", the mean over all routers
            of `balance_loss`, a float32 scalar.

        Raises:
            ShapeError: not four axes, or not three channels.
        """
        restored, routings = self._restored(lq)
        if not return_auxiliary:
            return restored
        routers = [block.adapter.routing for block in self._decoder_blocks().values()]
        losses = [router.balance(routing) for router, routing in zip(routers, routings, strict=True)]
        return restored, {"balance": torch.stack(losses).mean()}

    @torch.no_grad()
    def usage(self, lq: Tensor) -> dict[str, Tensor]:
        """How probable each expert is, for each picture and each block of the decoder; the most probable one is taken.

        Args:
            lq: (B, 3, H, W), in [0, 1].

        Returns:
            Block, such as "level3.block1", in the order in which they run, to (B, N), rows that sum to 1; level 1 is
            the finest one.
        """
        _, routings = self._restored(lq)
        return {name: routing.probabilities for name, routing in zip(self._decoder_blocks(), routings, strict=True)}

    def _restored(self, lq: Tensor) -> tuple[Tensor, list[Routing]]:
        """The restored pictures, (B, 3, H, W), and what each router said, in the order of `_decoder_blocks`.

        Raises:
            ShapeError: not four axes, or not three channels.
        """
        if lq.ndim != 4 or lq.shape[1] != 3:
            raise ShapeError(f"expected lq of shape (B, 3, H, W), got {tuple(lq.shape)}")
        padded = pad_to_multiple(lq, SIZE_MULTIPLE).contiguous(memory_format=torch.channels_last)
        hidden_states = self.patch_embed(padded)  # (B, C, H, W)
        skips, routings = [], []
        for level in self.enc:
            group, down = level
            hidden_states = group(hidden_states)
            skips.append(hidden_states)
            hidden_states = down(hidden_states)  # (B, 2C, H/2, W/2)
        hidden_states = self.latent(hidden_states)  # (B, 8C, H/8, W/8)
        frequencies = self.freq_embed(hidden_states)  # (B, 8C)
        for level in self.dec:
            up, fuse, group = level
            hidden_states = fuse(torch.cat([up(hidden_states), skips.pop()], dim=1))  # (B, C/2, 2H, 2W)
            for block in _blocks_of(group):
                hidden_states, routing = block(hidden_states, frequencies)
                routings.append(routing)
        restored = self.output(self.refinement(hidden_states)) + padded
        return crop_to(restored, *lq.shape[-2:]), routings

    def _decoder_blocks(self) -> dict[str, DecoderBlock]:
        """The blocks that route, in the order in which they run, by level and place."""
        return {
            f"level{level}.block{place}": block
            for level, layers in zip((3, 2, 1), self.dec, strict=True)
            for place, block in enumerate(_blocks_of(layers[2]), start=1)
        }


def _blocks_of(group: nn.Module) -> list[DecoderBlock]:
    """The blocks of one level of the decoder."""
    assert isinstance(group, BlockGroup), "the third layer of a level"
    return [block for block in group.layers if isinstance(block, DecoderBlock)]


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's keys and shapes call for; those of routing leave no trace in them.

    Args:
        weights: Key to tensor; has "patch_embed.proj.weight", those of each level's attention and of the first experts.
    """
    experts = "dec.2.2.layers.0.adapter.experts."
    groups = ("enc.0.0.", "enc.1.0.", "enc.2.0.", "latent.")
    return {
        "dim": len(weights["patch_embed.proj.weight"]),
        "num_blocks": tuple(count_modules(weights, f"{group}layers.") for group in groups),
        "num_dec_blocks": tuple(count_modules(weights, f"dec.{index}.2.layers.") for index in (2, 1, 0)),
        "heads": tuple(len(weights[f"{group}layers.0.mixer.temperature"]) for group in groups),
        "num_refinement_blocks": count_modules(weights, "refinement.layers."),
        "num_experts": count_modules(weights, experts),
        "rank": _base_of_ranks(weights),
    }


def _base_of_ranks(weights: Mapping[str, Tensor]) -> int:
    """The base by which the ranks of the experts grow, of the widest level, where least of it is lost in rounding."""
    experts = "dec.0.2.layers.0.adapter.experts."
    ranks = [weights[f"{experts}{index}.0.proj.0.weight"].shape[:2] for index in range(count_modules(weights, experts))]
    num_channels = ranks[0][1]
    bases = range(1, num_channels + 1)
    grown = ([num_channels // base**power for power in reversed(range(len(ranks)))] for base in bases)
    found = [rank for rank, _ in ranks]
    return next(base for base, expected in zip(bases, grown, strict=True) if expected == found)
