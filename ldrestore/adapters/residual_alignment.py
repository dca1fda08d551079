"""Residual self-attention (RSA) in the place of DAFF: the ablation of UniLDiff's Table 4, and FaithDiff's alignment.

Chen et al. 2024, "FaithDiff: Unleashing Diffusion Priors for Faithful Image Super-resolution"
(https://arxiv.org/abs/2411.18824). The features of the latents and of the damaged picture are joined channel by
channel; blocks of self-attention (Radford et al. 2021) look at all positions, without a position, without a timestep.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ldrestore.adapters.daff import PreparedLQ, checked_lq, lq_projection, repeated
from ldrestore.blocks.dispatched_attention import DispatchedAttention
from ldrestore.errors import ConfigError, ShapeError

QUICK_GELU_SLOPE = 1.702
"""x sigmoid(1.702 x), the quick form of GELU of CLIP."""


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x)."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Any shape to the same."""
        return hidden_states * torch.sigmoid(QUICK_GELU_SLOPE * hidden_states)


class ResidualAttentionBlock(DispatchedAttention):
    """x + attention(norm(x)), then x + MLP(norm(x)), the MLP of twice the width."""

    def __init__(self, dim: int, *, num_heads: int) -> None:
        """Build it.

        Args:
            dim: D of the tokens.
            num_heads: Heads; divides D.
        """
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.to_out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), QuickGELU(), nn.Linear(2 * dim, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) to the same shape."""
        query, key, value = self.to_qkv(self.norm1(tokens)).unflatten(-1, (3, self.num_heads, -1)).unbind(2)
        tokens = tokens + self.to_out(self.processor(query, key, value).flatten(2))
        return tokens + self.mlp(self.norm2(tokens))


class ResidualAlignment(ModelMixin, ConfigMixin):
    """RSA at one place of a U-Net. It starts as the identity: the last projection is zero."""

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        num_channels: int = 320,
        lq_channels: int = 512,
        num_heads: int = 8,
        num_blocks: int = 2,
        lq_projection_layers: int = 2,
    ) -> None:
        """Build it; the default is FaithDiff's, on SDXL.

        Args:
            num_channels: C of the U-Net's features at the place.
            lq_channels: Of the features of the damaged picture.
            num_heads: Heads; divides 2 C.
            num_blocks: Blocks.
            lq_projection_layers: Convolutions from `lq_channels` to C, 1 or 2.

        Raises:
            ConfigError: widths that do not divide.
        """
        super().__init__()
        dim = 2 * num_channels
        if dim % num_heads:
            raise ConfigError(f"num_heads must divide twice the channels, {dim}, got {num_heads}")
        self.lq_projection = lq_projection(lq_channels, num_channels, layers=lq_projection_layers)
        self.blocks = nn.Sequential(*(ResidualAttentionBlock(dim, num_heads=num_heads) for _ in range(num_blocks)))
        self.proj_out = nn.Linear(dim, num_channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the modules of the U-Net behind which it acts."""
        return ("conv_in",)

    def channels_at(self, place: str) -> int:
        """C of the features that it takes at its place."""
        return self.config["num_channels"]

    def cells_at(self, place: str) -> int:
        """Latents along the side of a token at a place."""
        return 1

    def prepare(self, lq: Tensor, text: Tensor | None = None) -> dict[str, PreparedLQ]:
        """What is computed once a picture; see `DAFF.prepare`. The text has no way in here."""
        features = self.lq_projection(checked_lq(lq, self.config["lq_channels"]).to(self.dtype))
        return {"conv_in": PreparedLQ(_tokens(features), None, (features.shape[-2], features.shape[-1]))}

    def forward(self, hidden_states: Tensor, timestep: Tensor, prepared: PreparedLQ, *, place: str) -> Tensor:
        """Align; see `FeatureFusion.forward`. The timestep is not looked at."""
        if hidden_states.shape[-2:] != prepared.grid:
            size = tuple(hidden_states.shape[-2:])
            raise ShapeError(f"expected features of the damaged picture's size {prepared.grid}, got {size}")
        tokens = _tokens(hidden_states.to(self.dtype))
        joined = torch.cat([tokens, repeated(prepared.tokens, len(tokens))], dim=-1)  # (B, N, 2 C)
        added = self.proj_out(self.blocks(joined)).transpose(1, 2).unflatten(2, prepared.grid)
        return hidden_states + added.to(hidden_states.dtype)


def _tokens(features: Tensor) -> Tensor:
    """(B, C, h, w) to (B, N, C)."""
    return features.flatten(2).transpose(1, 2)
