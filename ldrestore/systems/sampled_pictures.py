"""A picture to tensors and back, and the tiles of tracks that sample in bounded memory."""

import math
from dataclasses import replace

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from ldrestore.images.bit_depth import BAND_ROWS, MAX_VALUES
from ldrestore.images.color import adain_color_fix, wavelet_color_fix
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.images.photo import Photo
from ldrestore.options import ColourFix, SamplingOptions
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.structures import TilePlan
from ldrestore.tiling.memory import resident_bytes, whole_map_bytes
from ldrestore.tiling.planning import is_one_tile, make_plan, prediction_tile


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


def bytes_per_pixel(vae: AutoencoderKL, refiner: DetailRefinementModule | DetailExpertModule | None) -> int:
    """Peak working memory of a tile in bytes a pixel: the decoder's last resolution, where the most is held at once.

    Args:
        vae: Its widths say how much.
        refiner: Holds the encoder's features of all resolutions beside it.
    """
    widths = vae.config.block_out_channels
    held: float = 3 * widths[min(1, len(widths) - 1)] + 2 * widths[0]  # upsampled, normed and convolved; then narrower
    if refiner is not None:
        held += sum(width / 4**level for level, width in enumerate(widths)) + 8 * refiner.config["hidden_channels"][0]
    if isinstance(refiner, DetailExpertModule):
        held += 2 * widths[0] + 3  # what is joined for them
    num_bytes: int = round(held * vae.dtype.itemsize)
    return num_bytes


def unet_bytes_per_pixel(unet: UNet2DConditionModel, vae: AutoencoderKL) -> int:
    """Peak working memory of the U-Net in bytes a pixel: its finest resolution on the way up, with the maps that wait.

    Args:
        unet: Its widths say how much.
        vae: Says how many pixels a latent stands for.
    """
    widths = unet.config["block_out_channels"]
    held = 12 * widths[0] + sum(4 * width / 4**level for level, width in enumerate(widths))
    return math.ceil(held * unet.dtype.itemsize / downsampling_of(vae) ** 2)


def plan_of_picture(
    photo: Photo,
    large: Photo,
    *,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    decoder_bytes: int,
    options: SamplingOptions,
) -> TilePlan:
    """The tiles of one picture, whose input, working copy and output lie in memory all along.

    Args:
        photo: The input.
        large: What is restored of it.
        vae: Says how many pixels a latent stands for.
        unet: Its widths tell what a tile of its own needs.
        decoder_bytes: Peak working memory of a tile of the decoder, in bytes a pixel.
        options: Of the call; the memory budget counts beside the weights.
    """
    maps = whole_map_bytes(large, self_ensemble=options.self_ensemble, has_colour_fix=options.colour_fix != "off")
    resident = resident_bytes(photo, large) + maps
    plan = make_plan(
        large.height,
        large.width,
        tile=options.tile,
        memory_gb=options.memory_gb,
        bytes_per_pixel=decoder_bytes,
        resident_bytes=resident,
    )
    if is_one_tile(plan, large.height, large.width):
        return plan
    needed = {"bytes_per_pixel": unet_bytes_per_pixel(unet, vae), "resident_bytes": resident}
    return replace(plan, unet_tile=prediction_tile(plan, large.height, large.width, **needed))
