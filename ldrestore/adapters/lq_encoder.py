"""UniLDiff's encoder of the damaged picture: a trainable copy of the autoencoder's, with what it saw on its way.

"Unified Latent Diffusion for Image Restoration" (UniLDiff), Sec. 3.2. DAFF takes the features before quantisation, the
refined decoder those of each resolution; the autoencoder itself stays frozen.
"""

from collections.abc import Sequence
from typing import NamedTuple

from diffusers import AutoencoderKL, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import Encoder
from torch import Tensor, nn

from ldrestore.blocks.encoder_stages import encoder_stages
from ldrestore.errors import ConfigError, ShapeError


class EncodedLQ(NamedTuple):
    """What the encoder makes of damaged pictures."""

    latents: Tensor | None
    """(B, 4, h, w), scaled; the mode of the posterior, so that the same picture gives the same latents. None where the
    encoder ends before them."""
    last: Tensor
    """(B, C, h, w), C of the lowest resolution: the features before the last normalisation and quantisation."""
    features: tuple[Tensor, ...]
    """(B, C_k, H / 2^k, W / 2^k) for level k, the full resolution first."""


class LQEncoder(ModelMixin, ConfigMixin):
    """Encodes damaged pictures; gradients pass."""

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        layers_per_block: int = 2,
        latent_channels: int = 4,
        norm_num_groups: int = 32,
        scaling_factor: float = 0.13025,
        has_quant_conv: bool = True,
        has_latents: bool = True,
        mid_block_add_attention: bool = True,
    ) -> None:
        """Build it; the default is SDXL's.

        Args:
            block_out_channels: C_k, the full resolution first.
            layers_per_block: Residual blocks a resolution.
            latent_channels: Of the latents.
            norm_num_groups: Groups of the normalisations; divides every C_k.
            scaling_factor: Of the latents.
            has_quant_conv: Whether a 1x1 convolution follows the encoder.
            has_latents: Whether it goes on to latents; False ends at the features before the last normalisation, as
                FaithDiff's does.
            mid_block_add_attention: Whether the lowest resolution attends to itself.
        """
        super().__init__()
        self.encoder = Encoder(
            in_channels=3,
            out_channels=latent_channels,
            down_block_types=("DownEncoderBlock2D",) * len(block_out_channels),
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            double_z=True,
            mid_block_add_attention=mid_block_add_attention,
        )
        moments = 2 * latent_channels
        self.quant_conv = nn.Conv2d(moments, moments, 1) if has_quant_conv and has_latents else nn.Identity()
        if not has_latents:
            del self.encoder.conv_norm_out, self.encoder.conv_act, self.encoder.conv_out

    @classmethod
    def from_vae(cls, vae: AutoencoderKL) -> "LQEncoder":
        """A copy of an autoencoder's encoder, to be trained; it begins with the same latents.

        Raises:
            ConfigError: an autoencoder of other blocks than Stable Diffusion's.
        """
        if set(vae.config["down_block_types"]) != {"DownEncoderBlock2D"}:
            raise ConfigError(
                f"expected an AutoencoderKL of DownEncoderBlock2D, got {', '.join(vae.config['down_block_types'])}"
            )
        copy = cls(
            block_out_channels=tuple(vae.config["block_out_channels"]),
            layers_per_block=vae.config["layers_per_block"],
            latent_channels=vae.config["latent_channels"],
            norm_num_groups=vae.config["norm_num_groups"],
            scaling_factor=vae.config["scaling_factor"],
            has_quant_conv=vae.quant_conv is not None,
            mid_block_add_attention=vae.config["mid_block_add_attention"],
        )
        copy.encoder.load_state_dict(vae.encoder.state_dict())
        if vae.quant_conv is not None:
            copy.quant_conv.load_state_dict(vae.quant_conv.state_dict())
        return nn.Module.to(copy, vae.device, vae.dtype)  # diffusers' own `to` warns of parts kept in float32

    @property
    def last_channels(self) -> int:
        """C of `EncodedLQ.last`."""
        return self.config["block_out_channels"][-1]

    @property
    def factor(self) -> int:
        """Pixels along a latent's side."""
        return 2 ** (len(self.config["block_out_channels"]) - 1)

    def forward(self, lq: Tensor) -> EncodedLQ:
        """Encode.

        Args:
            lq: (B, 3, H, W), in [0, 1]; H and W are multiples of `factor`.

        Raises:
            ShapeError: a size that is no multiple.
        """
        if lq.shape[-2] % self.factor or lq.shape[-1] % self.factor:
            raise ShapeError(f"height and width must be multiples of {self.factor}, got {tuple(lq.shape[-2:])}")
        features, last = encoder_stages(self.encoder, lq.to(self.dtype) * 2 - 1)
        if not self.config["has_latents"]:
            return EncodedLQ(None, last, features)
        moments = self.quant_conv(self.encoder.conv_out(self.encoder.conv_act(self.encoder.conv_norm_out(last))))
        return EncodedLQ(moments.chunk(2, dim=1)[0] * self.config["scaling_factor"], last, features)
