"""SDXL: its sizes, and its published layout in a single file.

Podell et al. 2023, SDXL (https://arxiv.org/abs/2307.01952). It was trained with Stable Diffusion's schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ldrestore.adapters.injection import RELEASED_UNET_PREFIX
from ldrestore.checkpoints.part_table import BaseLayout
from ldrestore.checkpoints.stable_diffusion import SCHEDULE, check_latent_channels
from ldrestore.errors import WeightsError
from ldrestore.guides.clip_layout import text_weights
from ldrestore.weights.fitting import load_strictly
from ldrestore.weights.published_files import read_checkpoint

CLIP_PREFIX, OPENCLIP_PREFIX = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
"""Before the keys of the two text encoders in a single file: CLIP's in the layout of transformers, and OpenCLIP's."""

POSITIONS = "embeddings.position_ids"
"""Counts from 0; older files of transformers hold it among the weights."""


def _unet_sizes() -> dict[str, Any]:
    """The U-Net of SDXL base 1.0."""
    cross = "CrossAttn{}Block2D"
    return {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", *[cross.format("Down")] * 2),
        "up_block_types": (*[cross.format("Up")] * 2, "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    }


def _vae_sizes() -> dict[str, Any]:
    """The autoencoder of SDXL base 1.0."""
    return {
        "sample_size": 1024,
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "scaling_factor": 0.13025,
    }


def _clip_sizes() -> dict[str, Any]:
    """The text encoder of CLIP's ViT-L/14."""
    return {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 77,
        "vocab_size": 49408,
        "projection_dim": 768,
        "hidden_act": "quick_gelu",
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 1,
    }


def _openclip_sizes() -> dict[str, Any]:
    """The text encoder of OpenCLIP's ViT-bigG/14."""
    return {
        **_clip_sizes(),
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "projection_dim": 1280,
        "hidden_act": "gelu",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class XLSizes:
    """Sizes that a single file does not tell: constructor arguments of each part."""

    unet: dict[str, Any] = field(default_factory=_unet_sizes)
    """Of `UNet2DConditionModel`."""
    vae: dict[str, Any] = field(default_factory=_vae_sizes)
    """Of `AutoencoderKL`."""
    text_encoder: dict[str, Any] = field(default_factory=_clip_sizes)
    """Of `CLIPTextConfig`, the first encoder's."""
    text_encoder_2: dict[str, Any] = field(default_factory=_openclip_sizes)
    """Of `CLIPTextConfig`, the second encoder's."""


def sdxl(sizes: XLSizes | None = None) -> BaseLayout:
    """The layout of SDXL, and of what is built like it.

    Args:
        sizes: Of a single file; None for those of SDXL base 1.0.
    """
    return BaseLayout(
        title="SDXL base 1.0",
        networks={"vae": "diffusers:AutoencoderKL", "unet": "diffusers:UNet2DConditionModel"},
        text_encoders={
            "text_encoder": "transformers:CLIPTextModel",
            "text_encoder_2": "transformers:CLIPTextModelWithProjection",
        },
        tokenizers=("tokenizer", "tokenizer_2"),
        schedule=SCHEDULE,
        prediction_advice="'epsilon' for SDXL base 1.0",
        check_unet=check_xl_unet_config,
        read_file=partial(_read_single_file, sizes=sizes or XLSizes()),
    )


def check_xl_unet_config(config: Mapping[str, Any]) -> None:
    """Refuse the U-Net of another kind of base.

    Args:
        config: Of the U-Net.

    Raises:
        WeightsError: it takes no text and time ids, as SDXL's does, or it takes other channels than latents.
    """
    if config.get("addition_embed_type") != "text_time":
        raise WeightsError(
            f"the base is a Stable Diffusion 1 or 2 (text of width {config.get('cross_attention_dim')}), expected an "
            "SDXL; name one, such as stabilityai/stable-diffusion-xl-base-1.0"
        )
    check_latent_channels(config, title="SDXL base 1.0")


def _read_single_file(path: Path, *, sizes: XLSizes) -> dict[str, Any]:
    """Parts of a file in the original layout of SDXL, without tokenizers.

    Raises:
        WeightsError: it is damaged, or of another kind.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    weights = read_checkpoint(path)
    _check_kind(weights, source=path.name)
    vae, unet = AutoencoderKL(**sizes.vae), UNet2DConditionModel(**sizes.unet)
    first = CLIPTextModel(CLIPTextConfig(**sizes.text_encoder))
    second = CLIPTextModelWithProjection(CLIPTextConfig(**sizes.text_encoder_2))
    load_strictly(unet, convert_ldm_unet_checkpoint(dict(weights), unet.config), source=path.name)
    load_strictly(vae, convert_ldm_vae_checkpoint(dict(weights), vae.config), source=path.name)
    load_strictly(first, _first_encoder(weights), source=path.name)
    num_layers = second.config.num_hidden_layers
    load_strictly(second, _second_encoder(weights, num_layers=num_layers, source=path.name), source=path.name)
    absent = {"tokenizer": None, "tokenizer_2": None}
    return {"vae": vae, "unet": unet, "text_encoder": first, "text_encoder_2": second, **absent}


def _first_encoder(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CLIP's text encoder under the keys of `CLIPTextModel`."""
    own = {key.removeprefix(CLIP_PREFIX): value for key, value in weights.items() if key.startswith(CLIP_PREFIX)}
    own.pop(POSITIONS, None)
    return own


def _second_encoder(weights: Mapping[str, Tensor], *, num_layers: int, source: str) -> dict[str, Tensor]:
    """OpenCLIP's text encoder under the keys of `CLIPTextModelWithProjection`.

    Raises:
        WeightsError: it has a weight that transformers' has no place for, or no projection.
    """
    projection = weights.get(f"{OPENCLIP_PREFIX}text_projection")
    if projection is None:
        raise WeightsError(f"{source} has no {OPENCLIP_PREFIX}text_projection; name an SDXL base, not its refiner")
    own = text_weights(weights, num_layers=num_layers, source=source, prefix=OPENCLIP_PREFIX)
    renamed = {f"text_model.{key}": value for key, value in own.items()}
    return {**renamed, "text_projection.weight": projection.T.contiguous()}


def _check_kind(weights: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse single files of other bases, by the keys that only they have.

    Raises:
        WeightsError: it is another base, or none.
    """
    if any(key.startswith("cond_stage_model.") for key in weights):
        raise WeightsError(f"{source} is a Stable Diffusion 1 or 2, expected an SDXL; name one, such as SDXL base 1.0")
    if not any(key.startswith(RELEASED_UNET_PREFIX) for key in weights):
        raise WeightsError(f"{source} is no SDXL: it has no keys {RELEASED_UNET_PREFIX}...; name another file")
    if not any(key.startswith(CLIP_PREFIX) for key in weights):
        raise WeightsError(
            f"{source} is no SDXL base: it has no keys {CLIP_PREFIX}..., as its refiner has none; name the base"
        )
