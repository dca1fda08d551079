"""One picture through a latent diffusion model: encode, denoise tile by tile, decode; every stage in bounded memory.

Tiles meet at each step: what the U-Net says of each is faded into one prediction for the whole picture, so that there
is one noise field, one schedule and no seam (MultiDiffusion, Bar-Tal et al. 2023, https://arxiv.org/abs/2302.08113).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Generator, Tensor

from ldrestore.adapters.attachment import Attachment
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.blocks.visual_prompts import PreparedPrompts
from ldrestore.images.color import adain_color_fix, wavelet_color_fix
from ldrestore.images.depth import MAX_VALUES
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.images.photo import Photo
from ldrestore.pipelines.call_options import bytes_of
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.refiners.refined_decoder import decode_refined_tiled, downsampling_of, encode_tiled, plan_of
from ldrestore.sampling.denoising import denoise, set_timesteps, starting_latents
from ldrestore.sampling.picture_noise import draw_noise
from ldrestore.structures import Conditioning, TilePlan
from ldrestore.systems.finite_numbers import check_finite
from ldrestore.tiling.blending import blend_tiles
from ldrestore.tiling.planning import make_plan

ColourFix = Literal["off", "wavelet", "adain"]
"""Tones of the input for the result: none, its low frequencies, or its mean and contrast."""

COLOUR_FIXES: tuple[ColourFix, ...] = get_args(ColourFix)

BAND_ROWS = 256
"""Rows that are rounded at once, which bounds working memory."""

BYTES_BESIDE_TILES = 3 * 3 * 4
"""Bytes a pixel of the whole picture: what is restored, the result, and one of them turned or fixed, in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentModels:
    """What a picture goes through."""

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    scheduler: Any
    ir_adapter: IRAdapter | None
    """None where the U-Net sees the damaged picture in the text and the starting latents alone."""
    attachment: Attachment | None
    """Of the injection layers; None exactly where there is no adapter."""
    drm: DetailRefinementModule | None
    """None decodes as the autoencoder alone does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How latents are drawn."""

    num_inference_steps: int
    """Steps of the whole schedule."""
    strength: float
    """Which part of it is gone through, in [0, 1]."""
    generator: Generator
    """Of the picture."""
    on_step_end: Callable[[int, Tensor, Tensor], Tensor]
    """Number of the step, timestep and latents to the latents to go on with."""


def lq_of(pixels: np.ndarray, *, multiple: int, device: torch.device) -> Tensor:
    """A picture as the models take it, padded by reflection; grey as three equal channels.

    Args:
        pixels: (H, W, C), C 1 or 3; uint8, uint16 or float32 in [0, 1].
        multiple: Height and width become multiples of this.
        device: Where it goes.

    Returns:
        (1, 3, H', W'), float32 in [0, 1].
    """
    scaled = pixels.astype(np.float32) / np.float32(MAX_VALUES[pixels.dtype.name])
    lq = torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]
    return pad_to_multiple(lq.expand(-1, 3, -1, -1), multiple).to(device)


@torch.no_grad()
def restore_latently(
    lq: Tensor, conditioning: Conditioning, *, models: LatentModels, sampling: Sampling, plan: TilePlan
) -> Tensor:
    """Encode, denoise and decode one picture.

    Args:
        lq: (1, 3, H, W), float32 in [0, 1]; H and W are multiples of the autoencoder's factor.
        conditioning: Of the picture.
        models: All on the picture's device, or brought there when they are called.
        sampling: How latents are drawn.
        plan: Tiles of all three stages; the autoencoder's own are taken where it asks for smaller ones.

    Returns:
        (1, 3, H, W), float32, about [0, 1], not clipped.

    Raises:
        UndefinedNumbersError: a model gives infinite or undefined numbers.
    """
    vae_plan = min((one for one in (plan, plan_of(models.vae)) if one.tile), key=lambda one: one.tile, default=plan)
    lq_latents = check_finite(encode_tiled(models.vae, lq, vae_plan), of="the encoder's latents").float()
    latents = sample(lq_latents, conditioning, models=models, sampling=sampling, plan=plan)
    restored = decode_refined_tiled(
        models.vae, latents, drm=models.drm, lq=lq, probabilities=conditioning.probabilities, plan=vae_plan
    )
    return check_finite(restored, of="the decoder's pixels").float()


def sample(
    lq_latents: Tensor, conditioning: Conditioning, *, models: LatentModels, sampling: Sampling, plan: TilePlan
) -> Tensor:
    """Denoise the latents of one picture.

    Args:
        lq_latents: (1, 4, h, w), of the damaged picture.
        conditioning: Of the picture.
        models: See `LatentModels`.
        sampling: How latents are drawn.
        plan: Tiles, in pixels.

    Returns:
        (1, 4, h, w), float32.

    Raises:
        UndefinedNumbersError: a model gives infinite or undefined numbers.
    """
    timesteps = set_timesteps(
        models.scheduler,
        num_inference_steps=sampling.num_inference_steps,
        strength=sampling.strength,
        device=lq_latents.device,
    )
    noise = draw_noise(lq_latents, generator=sampling.generator)
    latents = starting_latents(
        models.scheduler, lq_latents=lq_latents, noise=noise, timesteps=timesteps, strength=sampling.strength
    )
    latents = denoise(
        latents,
        timesteps,
        scheduler=models.scheduler,
        predict=_predictor(lq_latents, conditioning, models=models, plan=plan),
        generator=sampling.generator,
        on_step_end=sampling.on_step_end,
    )
    if models.attachment is not None:
        models.attachment.clear()
    return check_finite(latents, of="the denoised latents")


def _predictor(
    lq_latents: Tensor, conditioning: Conditioning, *, models: LatentModels, plan: TilePlan
) -> Callable[[Tensor, Tensor], Tensor]:
    """The model as the loop calls it; what does not depend on the timestep is computed here, once."""
    dtype = models.unet.dtype
    prompt_embeds = conditioning.prompt_embeds.to(dtype)
    prompts = None if models.ir_adapter is None else models.ir_adapter.prepare()
    size = (lq_latents.shape[-2], lq_latents.shape[-1])
    factor = downsampling_of(models.vae)
    tile, overlap = plan.tile // factor or max(size), -(-plan.overlap // factor)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        def predict_tile(rows: slice, columns: slice) -> Tensor:
            _set_features(lq_latents[..., rows, columns], timestep, conditioning, models=models, prompts=prompts)
            cells = latents[..., rows, columns].to(dtype)
            return models.unet(cells, timestep, encoder_hidden_states=prompt_embeds, return_dict=False)[0].float()

        if tile >= max(size):
            return predict_tile(slice(None), slice(None))
        return blend_tiles(predict_tile, size=size, tile=tile, overlap=overlap)

    return predict


def _set_features(
    lq_latents: Tensor,
    timestep: Tensor,
    conditioning: Conditioning,
    *,
    models: LatentModels,
    prompts: Sequence[PreparedPrompts] | None,
) -> None:
    """What the U-Net sees of the damaged picture at a timestep."""
    if models.ir_adapter is not None and models.attachment is not None:
        lq_latents = lq_latents.to(models.ir_adapter.dtype)
        features = models.ir_adapter(lq_latents, timestep, conditioning.probabilities, prompts=prompts)
        models.attachment.set_features(features)


def to_pixels(
    restored: Tensor, lq: Tensor, original: np.ndarray, *, fidelity: float, colour_fix: ColourFix
) -> np.ndarray:
    """The result as the picture it was made of, clipped; integers are rounded to nearest.

    Args:
        restored: (1, 3, H', W'), float32.
        lq: Same shape, in [0, 1].
        original: (H, W, C) of any type, gives size, channels and type.
        fidelity: In [0, 1]; 1 gives the original to the bit.
        colour_fix: Comes before the blend.

    Returns:
        (H, W, C), of the original's type.
    """
    height, width, num_channels = original.shape
    restored, lq = crop_to(restored, height, width), crop_to(lq, height, width)
    if colour_fix != "off":
        restored = (wavelet_color_fix if colour_fix == "wavelet" else adain_color_fix)(restored, lq)
    if num_channels == 1:
        restored, lq = restored.mean(dim=1, keepdim=True), lq[:, :1]
    output = np.empty_like(original)
    for top in range(0, height, BAND_ROWS):
        rows = slice(top, min(top + BAND_ROWS, height))
        band = torch.lerp(restored[0, :, rows], lq[0, :, rows], fidelity).clamp_(0, 1).permute(1, 2, 0).cpu().numpy()
        is_float = output.dtype == np.float32
        output[rows] = band if is_float else np.rint(band * np.float32(MAX_VALUES[output.dtype.name]))
    return output


def bytes_per_pixel(vae: AutoencoderKL, drm: DetailRefinementModule | None) -> int:
    """Peak working memory of a tile in bytes a pixel: the decoder's last resolution, where the most is held at once.

    Args:
        vae: Its widths say how much.
        drm: Holds the encoder's features of all resolutions beside it.
    """
    widths = vae.config.block_out_channels
    held = 3 * widths[min(1, len(widths) - 1)] + 2 * widths[0]  # upsampled, normed and convolved; then narrower
    if drm is not None:
        held += sum(width / 4**level for level, width in enumerate(widths)) + 8 * drm.config.hidden_channels[0]
    return round(held * vae.dtype.itemsize)


def plan_tiles(
    photo: Photo,
    large: Photo,
    *,
    vae: AutoencoderKL,
    drm: DetailRefinementModule | None,
    tile: int | str,
    memory_gb: float,
) -> TilePlan:
    """The tiles of one picture, whose input, enlarged input and output lie in memory all along.

    Args:
        photo: The input.
        large: The same, enlarged.
        vae: Its widths tell what a tile needs.
        drm: The same; None where the decoder is not refined.
        tile: Side in pixels, "auto" or "off".
        memory_gb: Budget for "auto", in 10^9 bytes, beside the weights.
    """
    resident = bytes_of(photo) + bytes_of(large) + (0 if large is photo else bytes_of(large))
    return make_plan(
        large.height,
        large.width,
        tile=tile,
        memory_gb=memory_gb,
        bytes_per_pixel=bytes_per_pixel(vae, drm),
        resident_bytes=resident + BYTES_BESIDE_TILES * large.height * large.width,
    )
