"""The detail refinement module of MPerceiver, Ai et al. 2024, Sec. 3.3 and Fig. 4 (https://arxiv.org/abs/2312.02918).

A latent diffusion model's autoencoder loses small things. The module carries them around the bottleneck: at each
resolution of the decoder it takes what the encoder saw of the degraded picture, lets visual prompts clean it, and adds
what it makes of both. The paper gives the order of the parts and not their sizes, and its code was not released: sizes
are ours.
"""

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Generator, Tensor, nn

from ldrestore.blocks.degradation_rows import checked_names, grown_names
from ldrestore.blocks.naf import NAFBlock
from ldrestore.blocks.typed_modules import ModulesOf
from ldrestore.blocks.visual_prompts import VisualPromptModulator
from ldrestore.blocks.zero_layers import start_at_zero
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.refiners.swin import SwinBlock
from ldrestore.structures import MPERCEIVER_SET


class DetailRefinementLevel(nn.Module):
    """The module at one resolution: modulate, concatenate, residual blocks, Swin blocks, and add."""

    def __init__(
        self,
        num_channels: int,
        *,
        hidden_channels: int,
        modulator: VisualPromptModulator,
        num_res_blocks: int,
        num_swin_blocks: int,
        num_heads: int,
        window_size: int,
    ) -> None:
        """Start without an effect: the last convolution is zero.

        Args:
            num_channels: C of the autoencoder's features.
            hidden_channels: D, inside.
            modulator: Takes the encoder's features, C channels, to D.
            num_res_blocks: NAFNet's residual blocks.
            num_swin_blocks: Swin blocks after them; every second one is shifted.
            num_heads: Heads of the Swin blocks.
            window_size: Side of their windows.
        """
        super().__init__()
        self.modulator = modulator
        self.conv_in = nn.Conv2d(num_channels + hidden_channels, hidden_channels, 3, padding=1)
        self.res_blocks = nn.Sequential(*(NAFBlock(hidden_channels) for _ in range(num_res_blocks)))
        shifts = [window_size // 2 * (index % 2) for index in range(num_swin_blocks)]
        self.swin_blocks = nn.Sequential(
            *(SwinBlock(hidden_channels, num_heads=num_heads, window_size=window_size, shift=shift) for shift in shifts)
        )
        self.conv_out = nn.Conv2d(hidden_channels, num_channels, 3, padding=1)
        start_at_zero(self.conv_out)

    def forward(self, hidden_states: Tensor, lq_features: Tensor, probabilities: Tensor) -> Tensor:
        """What is added to the decoder's features: two maps (B, C, H, W) and (B, N) to (B, C, H, W)."""
        modulated = self.modulator(lq_features, probabilities)  # (B, D, H, W)
        joined = self.conv_in(torch.cat([modulated, hidden_states], dim=1))
        return self.conv_out(self.swin_blocks(self.res_blocks(joined)))


class DetailRefinementModule(ModelMixin, ConfigMixin):
    """The module at all resolutions of an autoencoder, the full one included.

    In a pipeline that off-loads whole models to the CPU, it must not take a place of its own in the order: it works in
    the middle of the autoencoder, which has to stay where it is.
    """

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        hidden_channels: Sequence[int] = (64, 128, 256, 256),
        degradations: Sequence[str] = MPERCEIVER_SET,
        num_prompts: int = 24,
        prompt_dim: int = 512,
        num_res_blocks: int = 2,
        num_swin_blocks: int = 2,
        head_dim: int = 32,
        window_size: int = 8,
        norm_num_groups: int = 32,
    ) -> None:
        """Build it; the default fits the autoencoder of Stable Diffusion.

        Args:
            block_out_channels: C at each resolution, the full one first: the autoencoder's own.
            hidden_channels: D at each resolution, inside the module.
            degradations: Names of the N degradations, in the order of P.
            num_prompts: M, visual prompts a degradation and resolution.
            prompt_dim: Width of the prompts.
            num_res_blocks: NAFNet's residual blocks at each resolution.
            num_swin_blocks: Swin blocks after them.
            head_dim: Width of a head of all attentions; divides every D.
            window_size: Side of the windows of the Swin blocks.
            norm_num_groups: Groups of the modulators' normalisations; divides every C and D.

        Raises:
            ConfigError: no list of different names, lists of different lengths, or a width that is not divided.
        """
        super().__init__()
        N = len(checked_names(degradations))
        if len(block_out_channels) != len(hidden_channels):
            raise ConfigError(
                f"expected one of hidden_channels for each of block_out_channels, got {list(hidden_channels)} "
                f"and {list(block_out_channels)}"
            )
        undivided = [width for width in hidden_channels if width % head_dim or width % norm_num_groups]
        undivided += [width for width in block_out_channels if width % norm_num_groups]
        if undivided:
            raise ConfigError(
                f"widths must be multiples of norm_num_groups {norm_num_groups}, and hidden ones of head_dim "
                f"{head_dim} too, got {', '.join(map(str, undivided))}"
            )
        self.levels: ModulesOf[DetailRefinementLevel] = ModulesOf(
            DetailRefinementLevel(
                channels,
                hidden_channels=hidden,
                modulator=VisualPromptModulator(
                    channels,
                    num_degradations=N,
                    out_channels=hidden,
                    prompt_dim=prompt_dim,
                    num_prompts=num_prompts,
                    num_heads=hidden // head_dim,
                    head_dim=head_dim,
                    num_groups=norm_num_groups,
                ),
                num_res_blocks=num_res_blocks,
                num_swin_blocks=num_swin_blocks,
                num_heads=hidden // head_dim,
                window_size=window_size,
            )
            for channels, hidden in zip(block_out_channels, hidden_channels, strict=True)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The N degradations."""
        return tuple(self.config["degradations"])

    def forward(self, hidden_states: Tensor, lq_features: Tensor, probabilities: Tensor, *, level: int) -> Tensor:
        """Refine the decoder's features at one resolution.

        Args:
            hidden_states: (B, C, H, W), the decoder's, after the residual blocks of this resolution.
            lq_features: Same shape, the encoder's of the degraded picture, after its residual blocks there.
            probabilities: (B, N), P.
            level: 0 for the full resolution, 1 for the half, and so on.

        Returns:
            (B, C, H, W), of the decoder's type.

        Raises:
            ShapeError: the maps differ in shape, or P is not (B, N).
        """
        if hidden_states.shape != lq_features.shape:
            raise ShapeError(
                f"expected features of the decoder's shape {tuple(hidden_states.shape)} at level {level}, "
                f"got {tuple(lq_features.shape)}"
            )
        residual = self.levels[level](
            hidden_states.to(self.dtype), lq_features.to(self.dtype), probabilities.to(self.dtype)
        )
        return hidden_states + residual.to(hidden_states.dtype)

    def grow(self, names: Sequence[str], *, generator: Generator | None = None) -> None:
        """Add visual prompts of further degradations, drawn as those of a new pool; the old ones stay to the bit.

        The pools are other parameters afterwards: make the optimizer after this.

        Args:
            names: Of the new degradations.
            generator: Draws the new prompts.

        Raises:
            ConfigError: there is no new name, or one is known already.
        """
        grown = grown_names(self.names, names)
        for level in self.levels:
            level.modulator.grow(len(names), generator=generator)
        self.register_to_config(degradations=list(grown))
