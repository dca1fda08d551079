"""UniLDiff's degradation-aware feature fusion (DAFF): the noisy latents aligned with the damaged picture at each step.

"Unified Latent Diffusion for Image Restoration" (UniLDiff), Sec. 3.2 and Eq. 1 to 5, on SDXL. The paper leaves sizes
and the position inside the U-Net open; what is chosen here is a configuration value each.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.adapters.stream_blocks import NORM_EPS, DoubleStreamBlock, Modulation, SingleStreamBlock, TextAttention
from ldrestore.blocks.rotary import grid_positions, rotary_angles
from ldrestore.errors import ConfigError, ShapeError

LQSource = Literal["features", "latent"]
"""What is seen of the damaged picture: features of the LQ encoder before its quantisation, or its latents, which the
U-Net's own `conv_in` has taken in."""

NUM_GROUPS = 32
"""Groups of the normalisation of the LQ encoder's features, or the largest number below that divides them in groups of
more than one."""

NUM_FREQUENCIES = 256
"""Width of the sinusoidal embedding of the timestep."""

HEAD_SHARES = (8, 28, 28)
"""Of 64, the widths of a head for stream, row and column."""

Layout = Literal["ours", "released"]
"""How the parts are put together. "released" is that of the authors' development code: no positions, two convolutions
upon the features, single-stream blocks that do not get what the double-stream ones made of the latents, and both
streams in the result. With its sizes (`RELEASED_SIZES`) it costs more than the U-Net."""

RELEASED_SIZES = {"dim": 1024, "patch_size": 1, "num_double": 1, "num_single": 1}
"""Of the authors' development code."""


class PreparedLQ(NamedTuple):
    """What does not depend on the timestep, for one picture."""

    tokens: Tensor
    """(B, N, D), of the damaged picture."""
    words: tuple[Tensor, Tensor] | None
    """Keys and values of the prompt; None without text."""
    grid: tuple[int, int]
    """Rows and columns of tokens."""

    def with_text(self, row: int) -> "PreparedLQ":
        """The same picture with one of the texts that it was prepared with."""
        words = None if self.words is None else (self.words[0][row : row + 1], self.words[1][row : row + 1])
        return PreparedLQ(self.tokens, words, self.grid)

    def cut(self, windows: Sequence[tuple[slice, slice]], *, cells: int) -> "PreparedLQ":
        """What windows of one picture's latents see of it.

        Args:
            windows: Rows and columns, in latents, of one size; they start at multiples of `cells`.
            cells: Latents along a token's side.

        Returns:
            B of them in a batch, one a window.
        """
        whole = self.tokens.unflatten(1, self.grid)  # (1, R, C, D)
        parts = [whole[:, _covered(rows, cells), _covered(columns, cells)] for rows, columns in windows]
        grid = (parts[0].shape[1], parts[0].shape[2])
        return PreparedLQ(torch.cat([part.flatten(1, 2) for part in parts]), self.words, grid)


class FeatureFusion(nn.Module):
    """DAFF at one place of a U-Net. It starts as the identity: the last projection is zero."""

    def __init__(
        self,
        num_channels: int,
        *,
        lq_channels: int,
        text_dim: int | None,
        lq: LQSource,
        patch_size: int,
        dim: int,
        head_dim: int,
        num_double: int,
        num_single: int,
        layout: Layout,
        position_scale: float,
    ) -> None:
        """Build it; see `DAFF`.

        Args:
            num_channels: C of the U-Net's features at the place.
            lq_channels: See `DAFF`, as all others.
            text_dim: Width of the text embeddings.
            lq: What is seen of the damaged picture.
            patch_size: Side of the patches that become tokens.
            dim: D of the tokens.
            head_dim: Width of a head.
            num_double: Double-stream blocks.
            num_single: Single-stream blocks.
            layout: How the parts are put together.
            position_scale: Factor of rows and columns.
        """
        super().__init__()
        self.lq_channels, self.patch_size, self.position_scale = lq_channels, patch_size, position_scale
        self.is_released = layout == "released"
        self.axes_dims = [share * head_dim // 64 // 2 * 2 for share in HEAD_SHARES]
        self.axes_dims[0] = head_dim - sum(self.axes_dims[1:])
        self.lq_projection: nn.Module = nn.Identity()
        if lq == "features":
            self.lq_projection = lq_projection(lq_channels, num_channels, layers=2 if self.is_released else 1)
        self.embed_lq = nn.Conv2d(num_channels, dim, patch_size, stride=patch_size)
        self.embed_hq = nn.Conv2d(num_channels, dim, patch_size, stride=patch_size)
        self.timesteps = Timesteps(NUM_FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(NUM_FREQUENCIES, dim)
        self.double_blocks = nn.ModuleList(DoubleStreamBlock(dim, head_dim=head_dim) for _ in range(num_double))
        self.single_blocks = nn.ModuleList(SingleStreamBlock(dim, head_dim=head_dim) for _ in range(num_single))
        self.text_attention = None if text_dim is None else TextAttention(dim, head_dim=head_dim, text_dim=text_dim)
        width = 2 * dim if self.is_released else dim
        self.norm_out = nn.LayerNorm(width, eps=NORM_EPS, elementwise_affine=False)
        self.modulation_out = Modulation(dim, num_vectors=2 * width // dim)
        self.join = nn.Linear(width, dim) if self.is_released else nn.Identity()
        self.proj_out = nn.Linear(dim, patch_size**2 * num_channels)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.proj_out.weight.dtype

    def prepare(self, lq: Tensor, text: Tensor | None = None) -> PreparedLQ:
        """What is computed once a picture.

        Args:
            lq: (B, lq_channels, h, w), see `LQSource`.
            text: (B, L, text_dim); None leaves the text out, for this picture.

        Raises:
            ShapeError: other channels.
        """
        features = self.lq_projection(checked_lq(lq, self.lq_channels).to(self.dtype))
        tokens, grid = self._tokens(features, self.embed_lq)
        words = None
        if self.text_attention is not None and text is not None:
            words = self.text_attention.prepare(text.to(self.dtype))
        return PreparedLQ(tokens, words, grid)

    def forward(self, hidden_states: Tensor, timestep: Tensor, prepared: PreparedLQ) -> Tensor:
        """Align.

        Args:
            hidden_states: (B, C, h, w), the U-Net's.
            timestep: (B,) or scalar, in training steps.
            prepared: Of the same pictures; a batch of one serves all.

        Returns:
            (B, C, h, w), in the type of `hidden_states`.

        Raises:
            ShapeError: a map of another size than the damaged picture's.
        """
        hq_tokens, grid = self._tokens(hidden_states.to(self.dtype), self.embed_hq)
        if grid != prepared.grid:
            raise ShapeError(f"expected features of {prepared.grid} patches as the damaged picture, got {grid}")
        batch = len(hq_tokens)
        temb = self.time_embedding(self.timesteps(timestep.reshape(-1).expand(batch)).to(self.dtype))  # (B, D)
        aligned = self._aligned(repeated(prepared.tokens, batch), hq_tokens, temb, grid)
        if self.text_attention is not None and prepared.words is not None:
            key, value = (repeated(part, batch) for part in prepared.words)
            aligned = self.text_attention(aligned, (key, value))
        return hidden_states + self._map(self.proj_out(aligned), grid, hidden_states)

    def _aligned(self, lq_tokens: Tensor, hq_tokens: Tensor, temb: Tensor, grid: tuple[int, int]) -> Tensor:
        """All blocks: two times (B, N, D) to (B, N, D), normed."""
        angles = self._angles(grid, hq_tokens.device) if not self.is_released else None
        start = hq_tokens
        for block in self.double_blocks:
            lq_tokens, hq_tokens = block(lq_tokens, hq_tokens, temb, angles)
        if self.is_released:
            hq_tokens = start
        tokens = torch.cat([lq_tokens, hq_tokens], dim=1)  # the damaged picture's first
        for block in self.single_blocks:
            tokens = block(tokens, temb, angles)
        lq_tokens, hq_tokens = tokens.chunk(2, dim=1)
        result = torch.cat([lq_tokens, hq_tokens], dim=-1) if self.is_released else hq_tokens
        vectors = self.modulation_out(temb)
        shift, scale = (
            torch.cat(half, dim=-1) for half in (vectors[: len(vectors) // 2], vectors[len(vectors) // 2 :])
        )
        return self.join(torch.addcmul(shift, self.norm_out(result), 1 + scale))

    def _angles(self, grid: tuple[int, int], device: torch.device) -> Tensor:
        """Of both streams' tokens: (2 N, head_dim / 2)."""
        positions = [grid_positions(*grid, first=stream, scale=self.position_scale) for stream in (0.0, 1.0)]
        return rotary_angles(torch.cat(positions).to(device), self.axes_dims)

    def _tokens(self, features: Tensor, embed: nn.Conv2d) -> tuple[Tensor, tuple[int, int]]:
        """(B, C, h, w), continued to whole patches, to (B, N, D) and rows and columns of patches."""
        height, width = features.shape[-2:]
        beyond = (0, -width % self.patch_size, 0, -height % self.patch_size)
        if any(beyond):
            features = F.pad(features, beyond, mode="replicate")
        patches = embed(features)  # (B, D, rows, columns)
        return patches.flatten(2).transpose(1, 2), (patches.shape[-2], patches.shape[-1])

    def _map(self, patches: Tensor, grid: tuple[int, int], like: Tensor) -> Tensor:
        """(B, N, patch^2 C) to the shape and type of a map."""
        features = F.pixel_shuffle(patches.transpose(1, 2).unflatten(2, grid), self.patch_size)
        return features[..., : like.shape[-2], : like.shape[-1]].to(like.dtype)


def _covered(cells: slice, size: int) -> slice:
    """Tokens of so many cells a side that a span of cells touches."""
    if cells.stop is None:
        return cells
    return slice(cells.start // size, -(-cells.stop // size))


def checked_lq(lq: Tensor, num_channels: int) -> Tensor:
    """What is seen of the damaged picture, (B, num_channels, h, w).

    Raises:
        ShapeError: it has another shape.
    """
    if lq.ndim != 4 or lq.shape[1] != num_channels:
        raise ShapeError(f"expected lq of shape (B, {num_channels}, h, w), got {tuple(lq.shape)}")
    return lq


def lq_projection(lq_channels: int, num_channels: int, *, layers: int) -> nn.Module:
    """Features of the LQ encoder to the U-Net's channels, by one convolution or two.

    Args:
        lq_channels: Of the LQ encoder.
        num_channels: Of the U-Net at the place.
        layers: Convolutions, 1 or 2.
    """
    groups = math.gcd(NUM_GROUPS, lq_channels)
    groups = max(1, groups // 2) if groups == lq_channels else groups  # one value alone, of the smallest picture, has
    norm = nn.GroupNorm(groups, lq_channels, eps=NORM_EPS)  # no variance
    last = nn.Conv2d(lq_channels, num_channels, 3, padding=1)
    if layers == 1:
        return nn.Sequential(norm, nn.SiLU(), last)
    return nn.Sequential(norm, nn.Conv2d(lq_channels, lq_channels, 3, padding=1), nn.SiLU(), last)


def repeated(tensor: Tensor, batch: int) -> Tensor:
    """A batch of so many; guidance asks for the same pictures twice.

    Args:
        tensor: (b, ...), b divides the batch.
        batch: B.

    Returns:
        (B, ...), all pictures, then all again.

    Raises:
        ShapeError: another number.
    """
    if batch % len(tensor):
        raise ShapeError(f"prepared for {len(tensor)} pictures, which do not fit a batch of {batch}")
    return tensor.repeat(batch // len(tensor), *([1] * (tensor.ndim - 1)))


class DAFF(ModelMixin, ConfigMixin):
    """DAFF at all its places of a U-Net, which begins unchanged to the bit.

    `num_double=0` and `num_single=0` are two ablations of the paper's Table 4.
    """

    _supports_gradient_checkpointing = False

    @register_to_config
    def __init__(
        self,
        places: Sequence[str] = ("conv_in",),
        block_out_channels: Sequence[int] = (320, 640, 1280),
        lq_channels: int = 512,
        text_dim: int | None = 2048,
        lq: LQSource = "features",
        patch_size: int = 2,
        dim: int = 640,
        head_dim: int = 64,
        num_double: int = 1,
        num_single: int = 2,
        layout: Layout = "ours",
        position_scale: float = 1.0,
    ) -> None:
        """Build it; the default fits SDXL.

        Args:
            places: Behind which modules of the U-Net: "conv_in", "down_blocks.K".
            block_out_channels: Of the U-Net's down blocks, finest first, as in its configuration.
            lq_channels: Of what is seen of the damaged picture; for "latent" the U-Net's first.
            text_dim: Width of the text embeddings; None leaves the text to the U-Net.
            lq: See `LQSource`.
            patch_size: Side of the patches that become tokens.
            dim: D of the tokens.
            head_dim: Width of a head, a multiple of 16; divides D.
            num_double: Double-stream blocks, which come first.
            num_single: Single-stream blocks.
            layout: See `Layout`.
            position_scale: Factor of rows and columns; below 1, pictures larger than the trained ones come into their
                range.

        Raises:
            ConfigError: no place or no block, no such place, source or layout, or widths that do not divide.
        """
        super().__init__()
        for name, value, known in (("lq", lq, get_args(LQSource)), ("layout", layout, get_args(Layout))):
            if value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if not places:
            raise ConfigError("places is empty; DAFF acts at one place at least, such as conv_in")
        if num_double + num_single < 1:
            raise ConfigError("DAFF needs a block: set num_double or num_single, or take no fusion at all")
        if head_dim % 16 or dim % head_dim:
            raise ConfigError(f"head_dim must be a multiple of 16 that divides dim, got {head_dim} and {dim}")
        channels = {place: channels_at(place, block_out_channels) for place in places}
        if lq == "latent" and set(channels.values()) != {lq_channels}:
            raise ConfigError(
                f'lq="latent" takes what conv_in makes of the latents: all places need lq_channels {lq_channels}, '
                f"got {channels}"
            )
        self.fusions = nn.ModuleDict(
            {
                place.replace(".", "_"): FeatureFusion(
                    num_channels,
                    lq_channels=lq_channels,
                    text_dim=text_dim,
                    lq=lq,
                    patch_size=patch_size,
                    dim=dim,
                    head_dim=head_dim,
                    num_double=num_double,
                    num_single=num_single,
                    layout=layout,
                    position_scale=position_scale,
                )
                for place, num_channels in channels.items()
            }
        )

    @property
    def places(self) -> tuple[str, ...]:
        """Names of the modules of the U-Net behind which it acts."""
        return tuple(self.config["places"])

    def prepare(self, lq: Tensor, text: Tensor | None = None) -> dict[str, PreparedLQ]:
        """What is computed once a picture, for each place; see `FeatureFusion.prepare`.

        At a place of lower resolution the damaged picture is averaged to it.
        """
        prepared = {}
        for place in self.places:
            reduced = lq
            for _ in range(halvings_at(place, len(self.config["block_out_channels"]))):
                reduced = F.avg_pool2d(reduced, 2, ceil_mode=True, count_include_pad=False)
            prepared[place] = self.fusion_at(place).prepare(reduced, text)
        return prepared

    def forward(self, hidden_states: Tensor, timestep: Tensor, prepared: PreparedLQ, *, place: str) -> Tensor:
        """Align features at a place; see `FeatureFusion.forward`."""
        return self.fusion_at(place)(hidden_states, timestep, prepared)

    def channels_at(self, place: str) -> int:
        """C of the features that it takes at a place."""
        return channels_at(place, self.config["block_out_channels"])

    def cells_at(self, place: str) -> int:
        """Latents along the side of a token at a place."""
        patch_size: int = self.config["patch_size"]
        return patch_size * 2 ** halvings_at(place, len(self.config["block_out_channels"]))

    def fusion_at(self, place: str) -> FeatureFusion:
        """The fusion of a place."""
        fusion = self.fusions[place.replace(".", "_")]
        assert isinstance(fusion, FeatureFusion)
        return fusion


def channels_at(place: str, block_out_channels: Sequence[int]) -> int:
    """C of a U-Net's features behind a module.

    Args:
        place: "conv_in", or "down_blocks.K".
        block_out_channels: Of the U-Net.

    Raises:
        ConfigError: no such place.
    """
    if place == "conv_in":
        return block_out_channels[0]
    name, _, level = place.partition(".")
    if name == "down_blocks" and level.isdigit() and int(level) < len(block_out_channels):
        return block_out_channels[int(level)]
    known = ["conv_in", *(f"down_blocks.{index}" for index in range(len(block_out_channels)))]
    raise ConfigError(f"no place {place!r} for DAFF in this U-Net; known are {', '.join(known)}")


def halvings_at(place: str, num_levels: int) -> int:
    """How often the latents' sides are halved at a place: not behind "conv_in", nor by the last of the down blocks."""
    return 0 if place == "conv_in" else min(int(place.partition(".")[2]) + 1, num_levels - 1)
