"""UniLDiff's detail-aware expert module (DAEM): what the autoencoder lost, brought back by experts inside its decoder.

"Unified Latent Diffusion for Image Restoration" (UniLDiff), Sec. 3.3 and Eq. 6 to 8. At each resolution of the decoder
it joins the decoder's features with those of the LQ encoder, at the full resolution with the picture itself, too;
y = g E(x) * S(x) is added, E being the chosen expert and S transposed attention that all share. The paper gives the
order of the parts and not their sizes: sizes are ours.
"""

from collections.abc import Sequence
from typing import get_args

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from ldrestore.blocks.layer_norm import LayerNorm2d
from ldrestore.blocks.transposed_attention import TransposedAttention
from ldrestore.blocks.typed_modules import ModulesOf
from ldrestore.blocks.zero_layers import start_at_zero
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.refiners.expert_routing import Reach, RoutedExperts, RoutingUnit

REACHES = (Reach(3, 1), Reach(5, 1), Reach(7, 1), Reach(3, 3))
"""Receptive fields of the experts."""


class ExpertLevel(nn.Module):
    """The module at one resolution: join, route, modulate."""

    def __init__(
        self,
        num_channels: int,
        *,
        joined_channels: int,
        hidden_channels: int,
        head_dim: int,
        num_blocks: int,
        top_k: int,
        patch_size: int | None,
    ) -> None:
        """Start without an effect: the last convolution is zero.

        Args:
            num_channels: C of the decoder's features.
            joined_channels: Of these and of what is joined with them.
            hidden_channels: D, inside.
            head_dim: Width of the heads of S; divides D.
            num_blocks: NAFBlocks of each expert.
            top_k: Experts of one picture or patch.
            patch_size: Side of the patches; None for a decision a picture.
        """
        super().__init__()
        self.conv_in = nn.Conv2d(joined_channels, hidden_channels, 3, padding=1)
        self.experts = RoutedExperts(
            hidden_channels, reaches=REACHES, num_blocks=num_blocks, top_k=top_k, patch_size=patch_size
        )
        self.norm = LayerNorm2d(hidden_channels)
        self.shared = TransposedAttention(hidden_channels, num_heads=hidden_channels // head_dim)
        self.conv_out = nn.Conv2d(hidden_channels, num_channels, 3, padding=1)
        start_at_zero(self.conv_out)

    def forward(self, joined: Tensor) -> Tensor:
        """What is added to the decoder's features: (B, joined, H, W) to (B, C, H, W)."""
        features = self.conv_in(joined)  # (B, D, H, W)
        return self.conv_out(self.experts(features) * self.shared(self.norm(features)))


class DetailExpertModule(ModelMixin, ConfigMixin):
    """DAEM at all resolutions of an autoencoder, the full one included.

    In a pipeline that off-loads whole models to the CPU, it must not take a place of its own in the order: it works in
    the middle of the autoencoder, which has to stay where it is.
    """

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        hidden_channels: Sequence[int] = (64, 128, 256, 256),
        head_dim: int = 32,
        num_blocks: int = 1,
        top_k: int = 1,
        routing: RoutingUnit = "image",
        patch_size: int = 16,
    ) -> None:
        """Build it; the default fits the autoencoder of SDXL.

        Args:
            block_out_channels: C at each resolution, the full one first: the autoencoder's own.
            hidden_channels: D at each resolution, inside the module.
            head_dim: Width of the heads of the shared attention; divides every D.
            num_blocks: NAFBlocks of each expert.
            top_k: Experts that one picture or patch goes through, 1 to 4.
            routing: What takes one decision; tiles of a picture agree where it is the whole.
            patch_size: Side of the patches in positions of each resolution, for "patch".

        Raises:
            ConfigError: lists of different lengths, or a value out of range.
        """
        super().__init__()
        if len(block_out_channels) != len(hidden_channels):
            raise ConfigError(
                f"expected one of hidden_channels for each of block_out_channels, got {list(hidden_channels)} "
                f"and {list(block_out_channels)}"
            )
        if any(width % head_dim for width in hidden_channels):
            raise ConfigError(f"hidden_channels must be multiples of head_dim {head_dim}, got {list(hidden_channels)}")
        if routing not in get_args(RoutingUnit):
            raise ConfigError(f"routing must be one of {', '.join(get_args(RoutingUnit))}, got {routing!r}")
        if not 1 <= top_k <= len(REACHES):
            raise ConfigError(f"top_k must lie in [1, {len(REACHES)}], got {top_k}")
        self.levels: ModulesOf[ExpertLevel] = ModulesOf(
            ExpertLevel(
                channels,
                joined_channels=2 * channels + (3 if level == 0 else 0),
                hidden_channels=hidden,
                head_dim=head_dim,
                num_blocks=num_blocks,
                top_k=top_k,
                patch_size=patch_size if routing == "patch" else None,
            )
            for level, (channels, hidden) in enumerate(zip(block_out_channels, hidden_channels, strict=True))
        )

    @property
    def cells_of_patch(self) -> int:
        """Latents along a side of the patches of the lowest resolution, of which all others are parts; 1 without."""
        is_patched: bool = self.config["routing"] == "patch"
        return int(self.config["patch_size"]) if is_patched else 1

    @property
    def routers(self) -> dict[str, nn.Module]:
        """The router of each resolution, by its name in reports; what one gives is a `Routing`."""
        return {f"level {level}": module.experts.router for level, module in enumerate(self.levels)}

    def forward(self, hidden_states: Tensor, lq_features: Tensor, lq: Tensor, *, level: int) -> Tensor:
        """Refine the decoder's features at one resolution.

        Args:
            hidden_states: (B, C, H, W), the decoder's, after the residual blocks of this resolution.
            lq_features: Same shape, the LQ encoder's of the degraded picture, after its residual blocks there.
            lq: (B, 3, H0, W0), in [0, 1], the degraded picture at full resolution, which enters at level 0.
            level: 0 for the full resolution, 1 for the half, and so on.

        Returns:
            (B, C, H, W), of the decoder's type.

        Raises:
            ShapeError: the maps differ in shape.
        """
        if hidden_states.shape != lq_features.shape:
            raise ShapeError(
                f"expected features of the decoder's shape {tuple(hidden_states.shape)} at level {level}, "
                f"got {tuple(lq_features.shape)}"
            )
        maps = [hidden_states, lq_features]
        if level == 0:
            if lq.shape[-2:] != hidden_states.shape[-2:]:
                raise ShapeError(
                    f"expected a picture of {tuple(hidden_states.shape[-2:])} pixels, got {tuple(lq.shape[-2:])}"
                )
            maps.append(lq * 2 - 1)
        dtype = self.dtype
        residual = self.levels[level](torch.cat([one.to(dtype) for one in maps], dim=1))
        return hidden_states + residual.to(hidden_states.dtype)
