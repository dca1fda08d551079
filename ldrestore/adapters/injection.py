"""The layers by which MPerceiver's features enter the U-Net, in the released layout.

Ai et al. 2024, "Multimodal Prompt Perceiver: Empower Adaptiveness, Generalizability and Fidelity for All-in-One Image
Restoration", Eq. 5: h <- gamma(f) * Norm(h) + beta(f), with h a residual block's branch before the skip is added.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.blocks.typed_modules import ModulesOf
from ldrestore.blocks.zero_layers import start_at_zero
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.weights.fitting import count_modules

InjectionKind = Literal["residual", "released"]
"""How features enter, see `InjectionLayer`."""

HIDDEN_CHANNELS = 128
"""Default of the channels between the features and gamma and beta, as released."""

RELEASED_UNET_PREFIX = "model.diffusion_model."
"""Before the keys of the U-Net in a file in the layout of the original Stable Diffusion."""

NUM_MIDDLE_LAYERS = 2
"""Residual blocks in the middle of every U-Net of this family."""


class FullPrecisionGroupNorm(nn.GroupNorm):
    """Group normalisation in float32, whatever the type of states and weights."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape in float32."""
        return F.group_norm(hidden_states.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps)


class InjectionLayer(nn.Module):
    """Eq. 5 for one residual block: gamma and beta are convolutions on a shared convolution of the features.

    - "released": h <- Norm(h) (1 + gamma(f)) + beta(f). Even where gamma and beta are zero, Norm(h) remains.
    - "residual": ours, h <- h + gamma(f) Norm(h) + beta(f), with gamma and beta zero at the start: the U-Net begins
      unchanged to the bit, so that its prior is kept.

    Norm is a group normalisation with learned scale and shift, computed in float32, although the release calls it
    `param_free_norm`.
    """

    def __init__(
        self,
        num_channels: int,
        *,
        feature_channels: int,
        hidden_channels: int = HIDDEN_CHANNELS,
        num_groups: int,
        injection: InjectionKind,
    ) -> None:
        """Build it.

        Args:
            num_channels: C of the residual block.
            feature_channels: Channels of the features.
            hidden_channels: Channels between the features and gamma and beta.
            num_groups: Groups of the normalisation; divides C.
            injection: See the class.
        """
        super().__init__()
        self.is_residual = injection == "residual"
        self.param_free_norm = FullPrecisionGroupNorm(num_groups, num_channels)
        self.mlp_shared = nn.Sequential(nn.Conv2d(feature_channels, hidden_channels, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden_channels, num_channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden_channels, num_channels, 3, padding=1)
        if self.is_residual:
            start_at_zero(self.mlp_gamma, self.mlp_beta)

    def forward(self, hidden_states: Tensor, features: Tensor) -> Tensor:
        """Inject.

        Args:
            hidden_states: (B, C, H, W), the branch of a residual block.
            features: (B, feature_channels, H, W).

        Returns:
            (B, C, H, W), in the type of `hidden_states`.

        Raises:
            ShapeError: the features have another batch, height or width.
        """
        if features.shape[0] != hidden_states.shape[0] or features.shape[2:] != hidden_states.shape[2:]:
            raise ShapeError(
                f"features of shape {tuple(features.shape)} do not lie over states of shape "
                f"{tuple(hidden_states.shape)}; make them from latents of the same batch, height and width"
            )
        hidden = self.mlp_shared(features.to(self.mlp_gamma.weight.dtype))  # (B, hidden_channels, H, W)
        gamma, beta = self.mlp_gamma(hidden), self.mlp_beta(hidden)  # (B, C, H, W) each
        normed = self.param_free_norm(hidden_states)
        start = hidden_states.float() if self.is_residual else normed
        return torch.addcmul(start + beta.float(), gamma.float(), normed).to(hidden_states.dtype)


class InjectionLayers(ModelMixin, ConfigMixin):
    """One layer for each residual block of a `UNet2DConditionModel`; of the 22 of Stable Diffusion 2.1 by default.

    Keys are those of the U-Net's blocks: `down_blocks.0.1` belongs to `unet.down_blocks[0].resnets[1]`.
    `ldrestore.adapters.attachment.attach` lets them act.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        feature_channels: int = 512,
        num_groups: int = 32,
        injection: InjectionKind = "residual",
        hidden_channels: int = HIDDEN_CHANNELS,
    ) -> None:
        """Build the layers.

        Args:
            block_out_channels: C of the U-Net's down blocks, finest first, as in its configuration.
            layers_per_block: Its residual blocks a down block; an up block has one more.
            feature_channels: Channels of the features.
            num_groups: Groups of the normalisations.
            injection: See `InjectionLayer`.
            hidden_channels: Channels between the features and gamma and beta.

        Raises:
            ConfigError: no such injection, or channels that the groups do not divide.
        """
        super().__init__()
        if injection not in get_args(InjectionKind):
            raise ConfigError(f"injection must be one of {', '.join(get_args(InjectionKind))}, got {injection!r}")
        if any(width % num_groups for width in block_out_channels):
            raise ConfigError(
                f"block_out_channels must be multiples of num_groups ({num_groups}), got {list(block_out_channels)}"
            )
        self.down_blocks = self._make_blocks(block_out_channels, layers_per_block)
        self.mid_block = self._make_blocks(block_out_channels[-1:], NUM_MIDDLE_LAYERS)[0]
        self.up_blocks = self._make_blocks(block_out_channels[::-1], layers_per_block + 1)

    def _make_blocks(self, widths: Sequence[int], num_layers: int) -> ModulesOf[ModulesOf[InjectionLayer]]:
        """So many layers for each width."""

        def layer(width: int) -> InjectionLayer:
            return InjectionLayer(
                width,
                feature_channels=self.config["feature_channels"],
                hidden_channels=self.config["hidden_channels"],
                num_groups=self.config["num_groups"],
                injection=self.config["injection"],
            )

        return ModulesOf(ModulesOf(layer(width) for _ in range(num_layers)) for width in widths)

    @property
    def blocks(self) -> list[ModulesOf[InjectionLayer]]:
        """The layers of the down blocks, the middle and the up blocks, in the order of the forward pass."""
        return [*self.down_blocks, self.mid_block, *self.up_blocks]

    @property
    def num_levels(self) -> int:
        """How many features there are, one for each down block."""
        return len(self.down_blocks)

    @classmethod
    def for_unet(
        cls,
        unet: UNet2DConditionModel,
        *,
        feature_channels: int = 512,
        hidden_channels: int = HIDDEN_CHANNELS,
        injection: InjectionKind = "residual",
    ) -> "InjectionLayers":
        """New layers that fit a U-Net.

        Args:
            unet: Its configuration gives the sizes.
            feature_channels: Channels of the features.
            hidden_channels: Channels between the features and gamma and beta.
            injection: See `InjectionLayer`.

        Raises:
            ConfigError: the U-Net has a different number of residual blocks in different blocks.
        """
        layers = unet.config["layers_per_block"]
        numbers = {layers} if isinstance(layers, int) else set(layers)
        if len(numbers) > 1:
            raise ConfigError(
                f"expected one layers_per_block for the whole U-Net, got {list(layers)}; use another base"
            )
        return cls(
            block_out_channels=tuple(unet.config["block_out_channels"]),
            layers_per_block=numbers.pop(),
            feature_channels=feature_channels,
            hidden_channels=hidden_channels,
            num_groups=unet.config["norm_num_groups"],
            injection=injection,
        )


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that keys and shapes of `InjectionLayers` call for.

    Args:
        weights: Key to tensor. What `split_released_unet` makes of a published file is of the injection "released".
    """
    num_levels = count_modules(weights, "down_blocks.")
    return {
        "block_out_channels": tuple(
            weights[f"down_blocks.{level}.0.mlp_beta.bias"].shape[0] for level in range(num_levels)
        ),
        "layers_per_block": count_modules(weights, "down_blocks.0."),
        "feature_channels": weights["down_blocks.0.0.mlp_shared.0.weight"].shape[1],
        "hidden_channels": weights["down_blocks.0.0.mlp_shared.0.weight"].shape[0],
    }


def split_released_unet(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The released U-Net, apart: the base as diffusers has it, and the injection layers.

    The release has the U-Net in the layout of the original Stable Diffusion ("input_blocks.1.0.in_layers.0.weight"),
    and every residual block's injection inside it ("input_blocks.1.0.spade.mlp_gamma.weight").

    Args:
        weights: Key to tensor, without `RELEASED_UNET_PREFIX` before the keys.

    Returns:
        Weights of `UNet2DConditionModel`, and of `InjectionLayers`.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    num_inputs = count_modules(weights, "input_blocks.")
    num_levels = 1 + sum(f"input_blocks.{place}.0.op.weight" in weights for place in range(num_inputs))
    layers_per_block = num_inputs // num_levels - 1
    base = {f"{RELEASED_UNET_PREFIX}{key}": value for key, value in weights.items() if ".spade." not in key}
    unet = convert_ldm_unet_checkpoint(base, {"layers_per_block": layers_per_block})
    injection = {
        _key_of_layer(key, per_block=layers_per_block + 1): value for key, value in weights.items() if ".spade." in key
    }
    return unet, injection


def _key_of_layer(key: str, *, per_block: int) -> str:
    """The key in `InjectionLayers` of a released one, with so many input or output blocks a down or up block."""
    block, leaf = key.split(".spade.")
    part, place = block.split(".")[:2]
    if part == "middle_block":  # residual block, attention, residual block
        return f"mid_block.{int(place) // 2}.{leaf}"
    name, shift = {"input_blocks": ("down_blocks", 1), "output_blocks": ("up_blocks", 0)}[part]
    level, layer = divmod(int(place) - shift, per_block)
    return f"{name}.{level}.{layer}.{leaf}"
