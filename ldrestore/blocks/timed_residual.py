"""The residual block of diffusion U-Nets, with or without a timestep, in the layout of the original checkpoints.

Ho et al. 2020 (https://arxiv.org/abs/2006.11239), appendix B; Rombach et al. 2022 (https://arxiv.org/abs/2112.10752).
"""

from torch import Tensor, nn

from ldrestore.blocks.zero_layers import start_at_zero
from ldrestore.errors import InputError


class TimedResidualBlock(nn.Module):
    """skip(x) + conv(silu(norm(conv(silu(norm(x))) + W silu(temb)))).

    It starts as its skip connection: the last convolution is zero.
    """

    def __init__(self, num_channels: int, *, out_channels: int, temb_dim: int | None, num_groups: int = 32) -> None:
        """Build it.

        Args:
            num_channels: C of the input.
            out_channels: C of the output; where it differs, the skip connection is a 1x1 convolution.
            temb_dim: D of the timestep embedding; None for a block that takes none.
            num_groups: Groups of the normalisations; divides both numbers of channels.
        """
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(num_groups, num_channels), nn.SiLU(), nn.Conv2d(num_channels, out_channels, 3, padding=1)
        )
        if temb_dim is not None:
            self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(temb_dim, out_channels))
        last = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        start_at_zero(last)
        # The release has dropout of rate 0 at place 2: it keeps the last convolution's name.
        self.out_layers = nn.Sequential(nn.GroupNorm(num_groups, out_channels), nn.SiLU(), nn.Identity(), last)
        is_same = num_channels == out_channels
        self.skip_connection = nn.Identity() if is_same else nn.Conv2d(num_channels, out_channels, 1)
        self.takes_timestep = temb_dim is not None

    def forward(self, hidden_states: Tensor, temb: Tensor | None = None) -> Tensor:
        """One block.

        Args:
            hidden_states: (B, C, H, W).
            temb: (B, D), where the block takes a timestep.

        Returns:
            (B, out_channels, H, W).

        Raises:
            InputError: an embedding that the block does not take, or none where it takes one.
        """
        if (temb is not None) != self.takes_timestep:
            expected = "a timestep embedding" if self.takes_timestep else "no timestep embedding"
            raise InputError(f"the residual block takes {expected}; build it with the other temb_dim")
        inner = self.in_layers(hidden_states)
        if temb is not None:
            inner = inner + self.emb_layers(temb)[..., None, None]
        return self.skip_connection(hidden_states) + self.out_layers(inner)
