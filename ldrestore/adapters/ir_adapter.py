"""The IR-Adapter of MPerceiver in the released layout: features of the damaged picture that guide the U-Net.

Ai et al. 2024, "Multimodal Prompt Perceiver: Empower Adaptiveness, Generalizability and Fidelity for All-in-One Image
Restoration", Sec. 3.2; sizes as released (https://github.com/hhb072/MPerceiver-Code).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.degradation_rows import checked_names, draw_rows, grown_names, grown_rows
from ldrestore.blocks.dispatched_attention import DispatchedAttention
from ldrestore.blocks.timed_residual import TimedResidualBlock
from ldrestore.blocks.typed_modules import ModulesOf
from ldrestore.blocks.visual_prompts import PreparedPrompts, PromptCrossAttention, add_prompts
from ldrestore.blocks.zero_layers import start_at_zero
from ldrestore.errors import ConfigError, InputError, ShapeError
from ldrestore.structures import MPERCEIVER_SET
from ldrestore.weights.fitting import count_modules

LONGEST_PERIOD = 10_000
"""Of the waves that stand for a timestep, divided by 2 pi, in timesteps; approached, not reached."""


def timestep_waves(timesteps: Tensor, num_waves: int) -> Tensor:
    """Cosines and sines of timesteps at geometric frequencies, Sec. 3.5 of Vaswani et al. 2017 (arXiv:1706.03762).

    Args:
        timesteps: (B,), 0 to 999.
        num_waves: C, even: one half cosines, the other sines.

    Returns:
        (B, C), float32, the cosines first.
    """
    num_frequencies = num_waves // 2
    steps = torch.arange(num_frequencies, dtype=torch.float32, device=timesteps.device)
    frequencies = torch.exp(-math.log(LONGEST_PERIOD) * steps / num_frequencies)  # (C / 2,)
    phases = timesteps.float()[:, None] * frequencies  # (B, C / 2)
    return torch.cat([phases.cos(), phases.sin()], dim=1)


class PositionwiseProjection(nn.Conv1d):
    """A linear layer that the release calls a 1-d convolution: its weight has a third axis of one."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """From so many channels to so many."""
        super().__init__(in_channels, out_channels, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L, in_channels) to (B, L, out_channels)."""
        return F.linear(tokens, self.weight[..., 0], self.bias)


class SpatialSelfAttention(DispatchedAttention):
    """x + W softmax(q k^T / sqrt(D)) v over all positions, after a group normalisation.

    As released, a head's query, key and value lie beside each other in `qkv`. It starts as the identity: the last
    projection is zero.
    """

    is_cross_attention = False
    """As diffusers' `Attention` has it: tiles of a picture ask the positions of the whole, see `shared_statistics`."""

    def __init__(self, num_channels: int, *, num_heads: int, num_groups: int) -> None:
        """Build it.

        Args:
            num_channels: C of the features.
            num_heads: Divides C.
            num_groups: Groups of the normalisation; divides C.
        """
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.GroupNorm(num_groups, num_channels)
        self.qkv = PositionwiseProjection(num_channels, 3 * num_channels)
        self.proj_out = PositionwiseProjection(num_channels, num_channels)
        start_at_zero(self.proj_out)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        positions = self.norm(hidden_states).permute(0, 2, 3, 1)  # (B, H, W, C)
        projected = self.qkv(positions.flatten(1, 2))  # (B, H * W, 3C)
        query, key, value = projected.unflatten(-1, (self.num_heads, 3, -1)).unbind(dim=3)  # (B, H * W, heads, D) each
        answer = self.proj_out(self.processor(query, key, value).flatten(2))  # (B, H * W, C)
        return hidden_states + answer.view(positions.shape).permute(0, 3, 1, 2)


class StridedDownsample(nn.Module):
    """A convolution of stride 2 from (B, C, H, W) to (B, C, ceil(H / 2), ceil(W / 2))."""

    def __init__(self, num_channels: int) -> None:
        """Keep the number of channels, C."""
        super().__init__()
        self.op = nn.Conv2d(num_channels, num_channels, 3, stride=2, padding=1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, ceil(H / 2), ceil(W / 2))."""
        return self.op(hidden_states)


class IRAdapter(ModelMixin, ConfigMixin):
    """Half a U-Net on the latent of the damaged picture, whose scales are modulated by visual prompts.

    f^1 to f^3 are the states just before each downsampling, f^4 is the middle block's output; each goes through Eq. 4
    with the probabilities P of the degradations. Without prompts, "w/o VP Pool" of the paper's Table 9, nothing is left
    in Eq. 4 that could be asked, so that the attention goes with the pool: f <- RB(f), the same whatever P is.
    """

    @register_to_config
    def __init__(
        self,
        degradations: Sequence[str] = MPERCEIVER_SET,
        in_channels: int = 4,
        channels: Sequence[int] = (128, 256, 384, 512),
        num_res_blocks: int = 2,
        attention_levels: Sequence[int] = (0, 1, 2),
        num_heads: int = 4,
        out_channels: int = 512,
        num_prompts: int = 24,
        prompt_dim: int = 512,
        num_prompt_heads: int = 8,
        prompt_head_dim: int = 64,
        num_groups: int = 32,
    ) -> None:
        """Build the network; the defaults are the released sizes for Stable Diffusion 2.1.

        Args:
            degradations: Names of the N degradations, in the order of P.
            in_channels: Channels of the latents.
            channels: C of each scale, finest first; as many scales as the U-Net has down blocks. The timestep
                embedding is four times as wide as the first.
            num_res_blocks: Residual blocks a scale.
            attention_levels: Scales whose residual blocks are followed by self-attention, 0 being the finest; the
                middle always has one.
            num_heads: Heads of the self-attentions.
            out_channels: Channels of every feature that is handed on.
            num_prompts: M, prompts a degradation and scale; 0 leaves out the pools and the attention to them.
            prompt_dim: Width of the prompts.
            num_prompt_heads: Heads of the attention to the prompts.
            prompt_head_dim: Width of such a head.
            num_groups: Groups of all group normalisations; divides `channels` and `out_channels`.

        Raises:
            ConfigError: sizes that do not divide or are negative, names twice or none.
        """
        super().__init__()
        checked_names(degradations)
        _check_sizes(channels, out_channels, num_heads=num_heads, num_groups=num_groups)
        if num_prompts < 0:
            raise ConfigError(f"num_prompts must be at least 0, got {num_prompts}; 0 is for no pools")
        self.temb_dim = 4 * channels[0]
        self.time_embed = nn.Sequential(
            nn.Linear(channels[0], self.temb_dim), nn.SiLU(), nn.Linear(self.temb_dim, self.temb_dim)
        )
        self.input_blocks = self._make_scales()
        last = channels[-1]
        self.middle_block = nn.ModuleList([self._block(last, last), self._attention(last), self._block(last, last)])
        self._add_modulators()

    def _make_scales(self) -> ModulesOf[nn.ModuleList]:
        """Convolution, then for each scale its residual blocks and, but for the last, a downsampling."""
        channels = self.config["channels"]
        blocks = [nn.ModuleList([nn.Conv2d(self.config["in_channels"], channels[0], 3, padding=1)])]
        width = channels[0]
        for level, wide in enumerate(channels):
            for _ in range(self.config["num_res_blocks"]):
                layers: list[nn.Module] = [self._block(width, wide)]
                if level in self.config["attention_levels"]:
                    layers.append(self._attention(wide))
                blocks.append(nn.ModuleList(layers))
                width = wide
            if level + 1 < len(channels):
                blocks.append(nn.ModuleList([StridedDownsample(wide)]))
        return ModulesOf(blocks)

    def _add_modulators(self) -> None:
        """Pools, norms, attentions and residual blocks of Eq. 4, for each scale; without prompts the last alone."""
        config, channels, prompt_dim = self.config, self.config["channels"], self.config["prompt_dim"]
        self.fea_tran: ModulesOf[TimedResidualBlock] = ModulesOf(
            self._block(wide, config["out_channels"]) for wide in channels
        )
        if not self.has_prompts:
            self.register_parameter("visual_prompt", None)
            return
        shape = (len(channels), len(config["degradations"]), 1, config["num_prompts"], prompt_dim)
        self.visual_prompt = nn.Parameter(draw_rows(*shape))
        self.prompt_attns: ModulesOf[PromptCrossAttention] = ModulesOf(
            PromptCrossAttention(
                wide,
                prompt_dim=prompt_dim,
                num_heads=config["num_prompt_heads"],
                head_dim=config["prompt_head_dim"],
            )
            for wide in channels
        )
        self.norm1: ModulesOf[nn.LayerNorm] = ModulesOf(nn.LayerNorm(wide) for wide in channels)
        self.norm2: ModulesOf[nn.LayerNorm] = ModulesOf(nn.LayerNorm(prompt_dim) for _ in channels)

    @property
    def has_prompts(self) -> bool:
        """Whether there are pools."""
        return self.config["num_prompts"] > 0

    def _block(self, num_channels: int, out_channels: int) -> TimedResidualBlock:
        """A residual block that knows the timestep."""
        num_groups = self.config["num_groups"]
        return TimedResidualBlock(
            num_channels, out_channels=out_channels, temb_dim=self.temb_dim, num_groups=num_groups
        )

    def _attention(self, num_channels: int) -> SpatialSelfAttention:
        """A self-attention."""
        config = self.config
        return SpatialSelfAttention(num_channels, num_heads=config["num_heads"], num_groups=config["num_groups"])

    @apply_forward_hook  # off-loaded weights come for this as they do for a forward pass
    def prepare(self) -> tuple[PreparedPrompts, ...]:
        """Keys and values of the pools, finest scale first; they depend on neither picture nor timestep.

        Without pools there are none.
        """
        if not self.has_prompts:
            return ()
        scales = zip(self.visual_prompt.squeeze(2), self.norm2, self.prompt_attns, strict=True)
        return tuple(attention.prepare(norm(pool)) for pool, norm, attention in scales)

    def forward(
        self,
        lq_latents: Tensor,
        timestep: Tensor | float,
        probabilities: Tensor,
        *,
        prompts: Sequence[PreparedPrompts] | None = None,
    ) -> tuple[Tensor, ...]:
        """Features of every scale.

        Args:
            lq_latents: (B, 4, H, W), latents of the damaged picture, of any height and width.
            timestep: One for all, or (B,), in training steps.
            probabilities: (B, N), P; sums to 1 for each picture; without pools it is not looked at.
            prompts: What `prepare` gave, so that it is computed once a picture; the same to the bit without.

        Returns:
            Finest first: (B, out_channels, H, W), then each half as high and wide, rounded up.

        Raises:
            ShapeError: latents or P of another shape.
        """
        if lq_latents.ndim != 4 or lq_latents.shape[1] != self.config["in_channels"]:
            expected = f"(B, {self.config['in_channels']}, H, W)"
            raise ShapeError(f"expected lq_latents of shape {expected}, got {tuple(lq_latents.shape)}")
        timesteps = torch.as_tensor(timestep, device=lq_latents.device).expand(len(lq_latents))  # (B,)
        temb = self.embed_time(timesteps)
        scales = self._scales(lq_latents.contiguous(memory_format=torch.channels_last), temb)
        if not self.has_prompts:
            return tuple(block(features, temb) for features, block in zip(scales, self.fea_tran, strict=True))
        prompts = self.prepare() if prompts is None else prompts
        modulators = zip(scales, self.norm1, self.prompt_attns, prompts, self.fea_tran, strict=True)
        return tuple(
            block(add_prompts(features, probabilities, norm=norm, attention=attention, prompts=scale_prompts), temb)
            for features, norm, attention, scale_prompts, block in modulators
        )

    def embed_time(self, timesteps: Tensor) -> Tensor:
        """(B,) to (B, temb_dim): sines and cosines of the timesteps, the cosines first, through two layers."""
        waves = timestep_waves(timesteps, self.config["channels"][0])
        return self.time_embed(waves.to(next(self.time_embed.parameters()).dtype))

    def _scales(self, hidden_states: Tensor, temb: Tensor) -> list[Tensor]:
        """The states f^k before modulation, finest first."""
        scales = []
        for layers in self.input_blocks:
            if isinstance(layers[0], StridedDownsample):
                scales.append(hidden_states)
            hidden_states = _run(layers, hidden_states, temb)
        return [*scales, _run(self.middle_block, hidden_states, temb)]

    def add_degradations(self, names: Sequence[str], *, generator: torch.Generator | None = None) -> None:
        """Grow the pools by further degradations; what was there keeps every bit.

        The configuration names them too. An optimiser that was made before must be told about the new parameter.

        Args:
            names: Follow the present ones in P.
            generator: Draws the new prompts.

        Raises:
            ConfigError: there is no new name, or one is known already.
        """
        degradations = grown_names(self.config["degradations"], names)
        if self.has_prompts:
            self.visual_prompt = grown_rows(self.visual_prompt, len(names), dim=1, generator=generator)
        self.register_to_config(degradations=degradations)


def _run(layers: nn.ModuleList, hidden_states: Tensor, temb: Tensor) -> Tensor:
    """Layers one after the other, with the timestep where it is taken."""
    for layer in layers:
        hidden_states = layer(hidden_states, temb) if isinstance(layer, TimedResidualBlock) else layer(hidden_states)
    return hidden_states


def _check_sizes(channels: Sequence[int], out_channels: int, *, num_heads: int, num_groups: int) -> None:
    """Refuse widths that groups and heads do not divide.

    Raises:
        ConfigError: it is so.
    """
    odd = [width for width in (*channels, out_channels) if width % num_groups]
    odd += [width for width in channels if width % num_heads]
    if odd or not channels:
        raise ConfigError(
            f"channels and out_channels must be multiples of num_groups ({num_groups}), channels of num_heads "
            f"({num_heads}), got {list(channels)} and {out_channels}"
        )


def options_of_checkpoint(weights: Mapping[str, Tensor], *, degradations: Sequence[str]) -> dict[str, Any]:
    """Constructor arguments that a released checkpoint's keys and shapes call for.

    The number of heads of the self-attentions and of groups cannot be read off; they are the released ones.

    Args:
        weights: Key to tensor, in the released layout.
        degradations: What the rows of the pools stand for.

    Raises:
        InputError: the pools have another number of rows.
    """
    num_levels, num_rows, _, num_prompts, prompt_dim = weights["visual_prompt"].shape
    if num_rows != len(degradations):
        raise InputError(f"the pools have {num_rows} degradations, got {len(degradations)} names; name them all")
    num_blocks = count_modules(weights, "input_blocks.") // num_levels - 1  # a convolution or downsampling a scale
    inner = weights["prompt_attns.0.to_q.weight"].shape[0]
    starts = range(1, num_levels * (num_blocks + 1), num_blocks + 1)
    return {
        "degradations": tuple(degradations),
        "in_channels": weights["input_blocks.0.0.weight"].shape[1],
        "channels": tuple(weights[f"norm1.{level}.weight"].shape[0] for level in range(num_levels)),
        "num_res_blocks": num_blocks,
        "attention_levels": tuple(
            level for level, start in enumerate(starts) if f"input_blocks.{start}.1.qkv.weight" in weights
        ),
        "out_channels": weights["fea_tran.0.in_layers.2.weight"].shape[0],
        "num_prompts": num_prompts,
        "prompt_dim": prompt_dim,
        "num_prompt_heads": inner // 64,
        "prompt_head_dim": 64,
    }
