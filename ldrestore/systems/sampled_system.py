"""What the systems that sample have in common: their verbs, and how each of them goes through tiles.

A picture is conditioned, begun, predicted step by step and decoded; `picture_sampling.draw` puts these in order for
every system that has the verbs of `SampledSystem`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from ldrestore.refiners.refined_decoder import decode_refined_tiled, encode_tiled, plan_of
from ldrestore.structures import TilePlan
from ldrestore.systems.finite_numbers import check_finite
from ldrestore.tiling.cut_maps import CutMap, Place

WHOLE: Place = (slice(None), slice(None))
"""The window that holds everything."""


class BegunPicture(Protocol):
    """What stays the same for one picture from step to step."""

    @property
    def lq_latents(self) -> Tensor:
        """(1, 4, h, w), of the damaged picture."""
        ...


ConditioningT = TypeVar("ConditioningT", contravariant=True)
"""What steers a system."""

BegunT = TypeVar("BegunT", bound=BegunPicture)
"""What a system keeps of a picture."""


class SampledSystem(Protocol[ConditioningT, BegunT]):
    """What `draw` needs of a system."""

    @property
    def begins_from_lq(self) -> bool:
        """Whether the loop starts from the damaged picture under the first timestep's noise, and not from noise."""
        ...

    @property
    def networks(self) -> list[nn.Module]:
        """All parts with weights."""
        ...

    @property
    def bytes_per_pixel(self) -> int:
        """Peak working memory of a tile of the decoder, in bytes a pixel."""
        ...

    def begin_picture(self, lq: Tensor, conditioning: ConditioningT, *, plan: TilePlan) -> BegunT:
        """Encode a picture, (1, 3, H, W) in [0, 1], and make ready what does not depend on the timestep.

        Raises:
            UndefinedNumbersError: an encoder gives infinite or undefined numbers.
        """
        ...

    def predict_tiled(self, latents: Tensor, timestep: Tensor, plan: TilePlan, *, begun: BegunT) -> Tensor:
        """What the U-Net says of the whole picture: (1, 4, h, w), as the scheduler scales it, to the same shape."""
        ...

    def decode(self, latents: Tensor, lq: Tensor, conditioning: ConditioningT, *, plan: TilePlan) -> Tensor:
        """Pixels of latents: (1, 4, h, w) to (1, 3, H, W), float32, about [0, 1], not clipped.

        Raises:
            UndefinedNumbersError: the decoder gives infinite or undefined numbers.
        """
        ...


def networks_among(parts: Mapping[str, Any]) -> list[nn.Module]:
    """All parts with weights."""
    return [part for part in parts.values() if isinstance(part, nn.Module)]


def cells_of(x: Tensor, windows: Sequence[Place]) -> Tensor:
    """Parts of a map: (1, C, h, w) to (B, C, rows, columns), one a window."""
    parts = [x[..., rows, columns] for rows, columns in windows]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def autoencoder_plan(vae: AutoencoderKL, plan: TilePlan) -> TilePlan:
    """A plan, or the tiles that `vae.enable_tiling()` asks for where those are smaller."""
    plans = [one for one in (plan, plan_of(vae)) if one.tile]
    return min(plans, key=lambda one: one.tile, default=plan)


def encode_checked(vae: AutoencoderKL, lq: Tensor, plan: TilePlan) -> Tensor:
    """Latents of a picture.

    Args:
        vae: The autoencoder.
        lq: (1, 3, H, W), float32 in [0, 1]; H and W are multiples of the autoencoder's factor.
        plan: Tiles, in pixels.

    Returns:
        (1, 4, h, w), float32.

    Raises:
        UndefinedNumbersError: the encoder gives infinite or undefined numbers.
    """
    latents = encode_tiled(vae, lq, autoencoder_plan(vae, plan))
    return check_finite(latents, of="the encoder's latents").float()


def decode_unrefined(vae: AutoencoderKL, latents: Tensor, lq: Tensor, *, plan: TilePlan) -> Tensor:
    """Pixels of latents, as the autoencoder alone decodes them.

    Args:
        vae: The autoencoder.
        latents: (1, 4, h, w).
        lq: (1, 3, H, W), the damaged picture, gives the size.
        plan: Tiles, in pixels.

    Returns:
        (1, 3, H, W), float32, about [0, 1], not clipped.

    Raises:
        UndefinedNumbersError: the decoder gives infinite or undefined numbers.
    """
    restored = decode_refined_tiled(vae, latents, drm=None, lq=lq, probabilities=None, plan=autoencoder_plan(vae, plan))
    return check_finite(restored, of="the decoder's pixels").float()


def predict_in_tiles(
    predict: Callable[[Sequence[Place]], Tensor],
    latents: Tensor,
    plan: TilePlan,
    *,
    unet: UNet2DConditionModel,
    factor: int,
    networks: Mapping[str, nn.Module],
    multiple: int = 1,
) -> Tensor:
    """What a U-Net says of the whole picture, tile by tile; what it says of each fades into one prediction.

    So there is one noise field, one schedule and no seam (MultiDiffusion, Bar-Tal et al. 2023,
    https://arxiv.org/abs/2302.08113). All tiles are computed with what normalisations and self-attentions find in
    the whole: where each measured for itself, it came out up to 18 levels brighter or darker than in the whole, 2
    with the normalisations of the whole, and less than 1 with its self-attentions too.

    Args:
        predict: Windows of one size to (B, 4, rows, columns).
        latents: (1, 4, h, w), gives the size.
        plan: Tiles, in pixels.
        unet: Halves its maps so many times, of which tiles start at multiples.
        factor: Pixels along a latent's side.
        networks: By name, what `predict` goes through.
        multiple: Tiles start at multiples of as many latents more.

    Returns:
        (1, 4, h, w), float32.
    """
    halvings = len(unet.config["block_out_channels"]) - 1
    height, width = latents.shape[-2:]
    cut = CutMap.of_plan(plan, height=height, width=width, factor=factor, multiple=multiple * 2**halvings)
    return cut.compute(predict, networks)
