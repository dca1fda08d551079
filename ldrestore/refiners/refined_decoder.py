"""diffusers' `AutoencoderKL` with details carried from an encoder to its decoder: MPerceiver's DRM, UniLDiff's DAEM.

Both halves are walked block by block, as their own `forward` does, since the features are taken and added between the
residual blocks of a resolution and its resampling. Nothing is attached to the autoencoder: it can be saved, off-loaded,
sliced and checkpointed as always, and without a module, or with a new one, its output is the same to the bit.

Pictures are in [0, 1] here and latents scaled, as everywhere in this library.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

from ldrestore.blocks.encoder_stages import encoder_stages
from ldrestore.errors import InputError, ShapeError
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.structures import TilePlan
from ldrestore.tiling.cut_maps import CutMap, Place


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """What the autoencoder's encoder makes of a degraded picture."""

    latents: Tensor
    """(B, 4, h, w), scaled; the mode of the posterior, so that the same picture gives the same latents."""
    features: tuple[Tensor, ...]
    """(B, C, H / 2^k, W / 2^k) for level k, the full resolution first: the states after the residual blocks there."""


@torch.no_grad()
def encode_picture(vae: AutoencoderKL, lq: Tensor) -> EncodedPicture:
    """Encode pictures, and keep the encoder's features at each resolution. The encoder is frozen: no gradients.

    Args:
        vae: The autoencoder; with slicing enabled, pictures go through it one at a time.
        lq: (B, 3, H, W), in [0, 1]; H and W are multiples of the autoencoder's factor.

    Raises:
        InputError: an autoencoder of other blocks than Stable Diffusion's.
        ShapeError: a size that is no multiple.
    """
    _check_blocks(vae)
    _check_size(lq, downsampling_of(vae))
    encoded = [_encode(vae, part) for part in (lq.split(1) if vae.use_slicing else [lq])]
    if len(encoded) == 1:
        return encoded[0]
    features = zip(*(part.features for part in encoded), strict=True)
    return EncodedPicture(torch.cat([part.latents for part in encoded]), tuple(map(torch.cat, features)))


@torch.no_grad()
def encode_tiled(vae: AutoencoderKL, lq: Tensor, plan: TilePlan) -> Tensor:
    """Encode pictures tile by tile; features are not kept, since those of the full resolution would fill the memory.

    The tiles of a picture share what is measured in its crops, see `shared_statistics`.

    Args:
        vae: The autoencoder.
        lq: (B, 3, H, W), in [0, 1]; H and W are multiples of the autoencoder's factor.
        plan: Tiles, in pixels; side 0 encodes the whole at once.

    Returns:
        (B, 4, h, w), the latents of `encode_picture`, apart from what a tile does not see.

    Raises:
        InputError: an autoencoder of other blocks than Stable Diffusion's, or tiles that it does not divide.
        ShapeError: a size that is no multiple.
    """
    _check_blocks(vae)
    return compute_tiled(
        lambda part: _encode(vae, part).latents, lq, plan, factor=downsampling_of(vae), networks={"vae": vae}
    )


@torch.no_grad()
def compute_tiled(
    compute: Callable[[Tensor], Tensor],
    lq: Tensor,
    plan: TilePlan,
    *,
    factor: int,
    networks: Mapping[str, nn.Module],
) -> Tensor:
    """What an encoder makes of pictures, tile by tile; the tiles of a picture share what is measured in its crops.

    Args:
        compute: (B, 3, H, W) to (B, C, H / factor, W / factor).
        lq: (B, 3, H, W), in [0, 1]; H and W are multiples of the factor.
        plan: Tiles, in pixels; side 0 for the whole at once.
        factor: Pixels along a side of what is made.
        networks: By name, what `compute` goes through.

    Returns:
        (B, C, H / factor, W / factor).

    Raises:
        InputError: tiles that the factor does not divide.
        ShapeError: a size that is no multiple.
    """
    _check_size(lq, factor)
    cut = CutMap.of_plan(plan, height=lq.shape[-2] // factor, width=lq.shape[-1] // factor, factor=factor)

    def encoded(picture: Tensor) -> Tensor:
        return cut.compute(lambda places: compute(_parts(picture, places, factor)), networks)

    return torch.cat([encoded(picture) for picture in lq.split(1)])


def decode_refined(
    vae: AutoencoderKL,
    latents: Tensor,
    *,
    drm: DetailRefinementModule | None,
    features: Sequence[Tensor] = (),
    probabilities: Tensor | None = None,
) -> Tensor:
    """Decode latents, refined at each resolution.

    Where the autoencoder's gradient checkpointing is on, what the module adds is computed again in the backward pass
    too, from the same features.

    Args:
        vae: The autoencoder; with slicing enabled, pictures go through it one at a time.
        latents: (B, 4, h, w), scaled.
        drm: The module; None decodes as the autoencoder alone does.
        features: Those of `encode_picture`, of the degraded pictures; not needed without a module.
        probabilities: (B, N), P; not needed without a module.

    Returns:
        (B, 3, H, W), about [0, 1], not clipped; of the autoencoder's type.

    Raises:
        InputError: an autoencoder of other blocks than Stable Diffusion's, or a module without P.
        ShapeError: features that do not fit the decoder's.
    """
    _check_blocks(vae)
    if drm is not None:
        _check_module(vae, drm, latents, probabilities=probabilities)
        _check_features(vae, features)
    if not vae.use_slicing or len(latents) == 1:
        return _decode(vae, latents, drm, features, probabilities)
    pictures = [
        _decode(
            vae,
            latents[index : index + 1],
            drm,
            [feature[index : index + 1] for feature in features],
            None if probabilities is None else probabilities[index : index + 1],
        )
        for index in range(len(latents))
    ]
    return torch.cat(pictures)


@torch.no_grad()
def decode_refined_tiled(
    vae: AutoencoderKL,
    latents: Tensor,
    *,
    drm: DetailRefinementModule | None,
    lq: Tensor,
    probabilities: Tensor | None,
    plan: TilePlan,
) -> Tensor:
    """Decode latents tile by tile; each tile's part of the degraded picture is encoded when its turn comes.

    So memory holds the features of one tile of one picture only. The tiles of a picture share what is measured in its
    crops, see `shared_statistics`. Not for training.

    Args:
        vae: The autoencoder.
        latents: (B, 4, h, w), scaled.
        drm: The module; None decodes as the autoencoder alone does.
        lq: (B, 3, H, W), in [0, 1], the degraded pictures.
        probabilities: (B, N), P; not needed without a module.
        plan: Tiles, in pixels; side 0 decodes the whole at once.

    Returns:
        (B, 3, H, W), as `decode_refined` of the whole, apart from what a tile does not see.

    Raises:
        InputError: as `decode_refined`, or tiles that the autoencoder does not divide.
        ShapeError: latents and picture differ in size.
    """
    _check_blocks(vae)
    if drm is not None:
        _check_module(vae, drm, latents, probabilities=probabilities)

    def decoded(index: int) -> Tensor:
        one = slice(index, index + 1)

        def look(parts: Tensor) -> tuple[Sequence[Tensor], Tensor]:
            assert probabilities is not None, "checked above"
            return _encode(vae, parts).features, probabilities[one].expand(len(parts), -1)

        refinement = None
        if drm is not None:
            refinement = _Refinement(drm, look, networks={"drm": drm}, multiple=drm.config["window_size"])
        return _decode_in_tiles(vae, latents[one], lq[one], plan, refinement=refinement)

    return torch.cat([decoded(index) for index in range(len(latents))])


@dataclass(frozen=True, slots=True)
class _Refinement:
    """What refines the decoder, and how it looks at parts of a damaged picture."""

    module: DetailRefinementModule | DetailExpertModule
    look: Callable[[Tensor], tuple[Sequence[Tensor], Tensor]]
    """(B, 3, H, W) to the features of each resolution, and what the module sees beside them."""
    networks: Mapping[str, nn.Module]
    """Beside the autoencoder, all that it goes through."""
    multiple: int
    """Tiles start at multiples of so many latents: windows and patches then lie as they do in the whole."""


def _decode_in_tiles(
    vae: AutoencoderKL, latents: Tensor, lq: Tensor, plan: TilePlan, *, refinement: _Refinement | None
) -> Tensor:
    """One picture of latents: (1, 4, h, w) to (1, 3, H, W).

    Raises:
        InputError: tiles that the autoencoder does not divide.
        ShapeError: latents and picture differ in size.
    """
    factor = downsampling_of(vae)
    if (latents.shape[-2] * factor, latents.shape[-1] * factor) != lq.shape[-2:]:
        raise ShapeError(
            f"expected a picture of {factor} times the latents' size, got {tuple(lq.shape)} and {tuple(latents.shape)}"
        )
    size = {"height": latents.shape[-2], "width": latents.shape[-1]}
    if refinement is None:
        cut = CutMap.of_plan(plan, **size, factor=factor)
        return cut.compute(
            lambda places: _decode(vae, _parts(latents, places), None, (), None), {"vae": vae}, scale=factor
        )

    def decode(places: Sequence[Place]) -> Tensor:
        features, condition = refinement.look(_parts(lq, places, factor))
        return _decode(vae, _parts(latents, places), refinement.module, features, condition)

    cut = CutMap.of_plan(plan, **size, factor=factor, multiple=refinement.multiple)
    return cut.compute(decode, {"vae": vae, **refinement.networks}, scale=factor)


def downsampling_of(vae: AutoencoderKL) -> int:
    """Pixels along a latent's side."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


def plan_of(vae: AutoencoderKL) -> TilePlan:
    """The tiles that `vae.enable_tiling()` asks for, in pixels; the whole at once where it is off."""
    if not vae.use_tiling:
        return TilePlan(tile=0, overlap=0, memory_bytes=None)
    overlap = int(vae.tile_latent_min_size * vae.tile_overlap_factor) * downsampling_of(vae)
    return TilePlan(tile=vae.tile_latent_min_size * downsampling_of(vae), overlap=overlap, memory_bytes=None)


def decode_with_experts(
    vae: AutoencoderKL, latents: Tensor, *, daem: DetailExpertModule, features: Sequence[Tensor], lq: Tensor
) -> Tensor:
    """Decode latents, with experts at each resolution; `decode_refined` for UniLDiff's module.

    Args:
        vae: The autoencoder.
        latents: (B, 4, h, w), scaled.
        daem: The module.
        features: Those of the LQ encoder, of the degraded pictures, the full resolution first.
        lq: (B, 3, H, W), in [0, 1], these pictures.

    Returns:
        (B, 3, H, W), about [0, 1], not clipped; of the autoencoder's type.

    Raises:
        InputError: an autoencoder of other blocks than Stable Diffusion's, or of other widths than the module's.
        ShapeError: features that do not fit the decoder's.
    """
    _check_experts(vae, daem)
    num_levels = len(vae.config.block_out_channels)
    if len(features) != num_levels:
        raise ShapeError(f"expected features at {num_levels} resolutions, got {len(features)}")
    return _decode(vae, latents, daem, features, lq)


@torch.no_grad()
def decode_with_experts_tiled(
    vae: AutoencoderKL,
    latents: Tensor,
    *,
    daem: DetailExpertModule,
    lq_encoder: nn.Module,
    lq: Tensor,
    plan: TilePlan,
) -> Tensor:
    """`decode_with_experts` tile by tile, see `decode_refined_tiled`; routing is decided once a picture.

    Args:
        vae: The autoencoder.
        latents: (B, 4, h, w), scaled.
        daem: The module.
        lq_encoder: (B, 3, H, W) to what has the `features` of each resolution, the full one first.
        lq: (B, 3, H, W), in [0, 1], the degraded pictures.
        plan: Tiles, in pixels; side 0 decodes the whole at once.

    Returns:
        (B, 3, H, W), as `decode_with_experts` of the whole, apart from what a tile does not see.

    Raises:
        InputError: as `decode_with_experts`, or tiles that the autoencoder does not divide.
        ShapeError: latents and picture differ in size.
    """
    _check_experts(vae, daem)

    def look(parts: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        return lq_encoder(parts).features, parts

    networks = {"lq_encoder": lq_encoder, "daem": daem}
    refinement = _Refinement(daem, look, networks=networks, multiple=daem.cells_of_patch)
    pictures = zip(latents.split(1), lq.split(1), strict=True)
    return torch.cat([_decode_in_tiles(vae, *picture, plan, refinement=refinement) for picture in pictures])


@apply_forward_hook
def _encode(vae: AutoencoderKL, lq: Tensor) -> EncodedPicture:
    """`AutoencoderKL.encode`, which keeps the states before each downsampling; off-loading brings the weights in."""
    encoder = vae.encoder
    features, last = encoder_stages(encoder, lq.to(vae.dtype) * 2 - 1)
    moments = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(last)))
    moments = moments if vae.quant_conv is None else vae.quant_conv(moments)
    mode = moments.chunk(2, dim=1)[0]
    return EncodedPicture(mode * vae.config.scaling_factor, features)


@apply_forward_hook
def _decode(
    vae: AutoencoderKL,
    latents: Tensor,
    module: DetailRefinementModule | DetailExpertModule | None,
    features: Sequence[Tensor],
    condition: Tensor | None,
) -> Tensor:
    """`AutoencoderKL.decode`, refined before each upsampling; off-loading brings the weights in.

    Beside the features the module sees the probabilities of the degradations, or the degraded pictures.
    """
    decoder = vae.decoder
    latents = latents.to(vae.dtype) / vae.config.scaling_factor
    if vae.post_quant_conv is not None:
        latents = vae.post_quant_conv(latents)
    hidden_states = _run(decoder, decoder.mid_block, decoder.conv_in(latents))
    for index, block in enumerate(decoder.up_blocks):
        level = len(decoder.up_blocks) - 1 - index
        conditions = () if module is None else (features[level], condition)
        stage = partial(_decode_level, block, None if module is None else partial(module, level=level))
        hidden_states = _run(decoder, stage, hidden_states, *conditions)
    hidden_states = decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(hidden_states)))
    return hidden_states / 2 + 0.5


def _decode_level(
    block: Any, refine: Callable[..., Tensor] | None, hidden_states: Tensor, *conditions: Tensor
) -> Tensor:
    """One resolution of the decoder: residual blocks, refinement, upsampling."""
    for resnet in block.resnets:
        hidden_states = resnet(hidden_states, temb=None)
    if refine is not None:
        hidden_states = refine(hidden_states, *conditions)
    return _resample(block.upsamplers, hidden_states)


def _resample(resamplers: nn.ModuleList | None, hidden_states: Tensor) -> Tensor:
    """To the next resolution; the last one has no resampler."""
    for resampler in resamplers or ():
        hidden_states = resampler(hidden_states)
    return hidden_states


def _run(decoder: Any, stage: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """A stage of the decoder, checkpointed as `vae.enable_gradient_checkpointing` asks for."""
    if torch.is_grad_enabled() and decoder.gradient_checkpointing:
        return decoder._gradient_checkpointing_func(stage, *inputs)
    return stage(*inputs)


def _parts(x: Tensor, places: Sequence[Place], scale: int = 1) -> Tensor:
    """Parts of one map of so many pixels a cell: (1, C, H, W) to (B, C, h, w), one a place."""
    parts = [
        x[..., rows.start * scale : rows.stop * scale, columns.start * scale : columns.stop * scale]
        for rows, columns in places
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _check_size(lq: Tensor, factor: int) -> None:
    """Refuse pictures that the autoencoder would cut.

    Raises:
        ShapeError: a side is no multiple of the factor.
    """
    if lq.shape[-2] % factor or lq.shape[-1] % factor:
        raise ShapeError(
            f"height and width must be multiples of {factor}, got {lq.shape[-2]} and {lq.shape[-1]}; "
            "pad with images.padding.pad_to_multiple"
        )


def _check_blocks(vae: AutoencoderKL) -> None:
    """Refuse an autoencoder that the walk does not know.

    Raises:
        InputError: it has other blocks than Stable Diffusion's.
    """
    kinds = {*vae.config.down_block_types, *vae.config.up_block_types}
    if kinds != {"DownEncoderBlock2D", "UpDecoderBlock2D"}:
        raise InputError(
            "expected an AutoencoderKL of DownEncoderBlock2D and UpDecoderBlock2D, as Stable Diffusion's, "
            f"got {', '.join(sorted(kinds))}"
        )


def _check_experts(vae: AutoencoderKL, daem: DetailExpertModule) -> None:
    """Refuse experts of another autoencoder, or one that the walk does not know.

    Raises:
        InputError: they are.
    """
    _check_blocks(vae)
    widths = [list(config["block_out_channels"]) for config in (daem.config, vae.config)]
    if widths[0] != widths[1]:
        raise InputError(f"the expert module is made for an autoencoder of widths {widths[0]}, got {widths[1]}")


def _check_module(
    vae: AutoencoderKL, drm: DetailRefinementModule, latents: Tensor, *, probabilities: Tensor | None
) -> None:
    """Refuse what the module cannot work with.

    Raises:
        InputError: no P, or a module of another autoencoder.
        ShapeError: P of another shape.
    """
    widths = [list(config["block_out_channels"]) for config in (drm.config, vae.config)]
    if widths[0] != widths[1]:
        raise InputError(f"the refinement module is made for an autoencoder of widths {widths[0]}, got {widths[1]}")
    if probabilities is None:
        raise InputError("the refinement module needs the probabilities of the degradations, got None")
    expected = (len(latents), len(drm.names))
    if probabilities.shape != expected:
        raise ShapeError(f"expected probabilities of shape (B, N) = {expected}, got {tuple(probabilities.shape)}")


def _check_features(vae: AutoencoderKL, features: Sequence[Tensor]) -> None:
    """Refuse features that are not of the autoencoder's resolutions.

    Raises:
        ShapeError: not one feature map for each.
    """
    num_levels = len(vae.config.block_out_channels)
    if len(features) != num_levels:
        raise ShapeError(f"expected features at {num_levels} resolutions, got {len(features)}")
