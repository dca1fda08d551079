"""Stable Diffusion 2.1: its sizes, its schedule, and its published layout in a single file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from ldrestore.adapters.injection import RELEASED_UNET_PREFIX
from ldrestore.checkpoints.part_table import BaseLayout
from ldrestore.errors import WeightsError
from ldrestore.guides.clip_layout import text_weights
from ldrestore.weights.fitting import load_strictly
from ldrestore.weights.published_files import read_checkpoint

SDXL_WIDTH = 2048
"""Cross-attention width of SDXL; 768 is Stable Diffusion 1, 1024 is 2."""

SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
"""How Stable Diffusion was trained; a single file has no scheduler."""


def _unet_sizes() -> dict[str, Any]:
    """The U-Net of Stable Diffusion 2.1."""
    cross = "CrossAttn{}Block2D"
    return {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": (*[cross.format("Down")] * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *[cross.format("Up")] * 3),
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    }


def _vae_sizes() -> dict[str, Any]:
    """The autoencoder of Stable Diffusion 2.1."""
    return {
        "sample_size": 512,
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "scaling_factor": 0.18215,
    }


def _text_sizes() -> dict[str, Any]:
    """The text encoder of Stable Diffusion 2.1: 23 of the 24 layers of OpenCLIP's ViT-H/14."""
    return {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "max_position_embeddings": 77,
        "vocab_size": 49408,
        "projection_dim": 512,
        "hidden_act": "gelu",
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 0,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseSizes:
    """Sizes that a single file does not tell: constructor arguments of each part."""

    unet: dict[str, Any] = field(default_factory=_unet_sizes)
    """Of `UNet2DConditionModel`."""
    vae: dict[str, Any] = field(default_factory=_vae_sizes)
    """Of `AutoencoderKL`."""
    text_encoder: dict[str, Any] = field(default_factory=_text_sizes)
    """Of `CLIPTextConfig`."""


def stable_diffusion_2(sizes: BaseSizes | None = None) -> BaseLayout:
    """The layout of Stable Diffusion 2.1, and of what is built like it.

    Args:
        sizes: Of a single file; None for those of Stable Diffusion 2.1.
    """
    return BaseLayout(
        title="Stable Diffusion 2.1",
        networks={"vae": "diffusers:AutoencoderKL", "unet": "diffusers:UNet2DConditionModel"},
        text_encoders={"text_encoder": "transformers:CLIPTextModel"},
        tokenizers=("tokenizer",),
        schedule=SCHEDULE,
        prediction_advice="'epsilon' for 2.1-base (512 pixels), 'v_prediction' for 2.1 (768 pixels)",
        check_unet=check_unet_config,
        read_file=partial(_read_single_file, sizes=sizes or BaseSizes()),
    )


def check_unet_config(config: Mapping[str, Any]) -> None:
    """Refuse the U-Net of another kind of base.

    Args:
        config: Of the U-Net.

    Raises:
        WeightsError: it is SDXL's, or it takes other channels than latents.
    """
    width = config.get("cross_attention_dim")
    if config.get("addition_embed_type") == "text_time" or width == SDXL_WIDTH:
        raise WeightsError("the base is an SDXL, expected a Stable Diffusion 2.1; name one, such as 2.1-base")
    check_latent_channels(config, title="Stable Diffusion 2.1")


def check_latent_channels(config: Mapping[str, Any], *, title: str) -> None:
    """Refuse a U-Net that takes more than latents.

    Args:
        config: Of the U-Net.
        title: Of the kind of base that is needed, for the message.

    Raises:
        WeightsError: it does.
    """
    if config.get("in_channels") != config.get("out_channels"):
        raise WeightsError(
            f"the base's U-Net takes {config.get('in_channels')} channels and gives {config.get('out_channels')}, as "
            f"those for inpainting and depth do; name a plain {title}"
        )


def _read_single_file(path: Path, *, sizes: BaseSizes) -> dict[str, Any]:
    """Parts of a file in the layout of the original Stable Diffusion 2, without a tokenizer.

    Raises:
        WeightsError: it is damaged, or of another kind.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    weights = read_checkpoint(path)
    _check_kind(weights, unet_prefix=RELEASED_UNET_PREFIX, source=path.name)
    vae, unet = AutoencoderKL(**sizes.vae), UNet2DConditionModel(**sizes.unet)
    text_encoder = CLIPTextModel(CLIPTextConfig(**sizes.text_encoder))
    load_strictly(unet, convert_ldm_unet_checkpoint(dict(weights), unet.config), source=path.name)
    load_strictly(vae, convert_ldm_vae_checkpoint(dict(weights), vae.config), source=path.name)
    text = text_weights(weights, num_layers=text_encoder.config.num_hidden_layers, source=path.name)
    load_strictly(text_encoder, text, source=path.name)
    return {"vae": vae, "unet": unet, "text_encoder": text_encoder, "tokenizer": None}


def _check_kind(weights: dict[str, Tensor], *, unet_prefix: str, source: str) -> None:
    """Refuse single files of other bases, by the keys that only they have.

    Raises:
        WeightsError: it is another base, or none.
    """
    if any(key.startswith("conditioner.") for key in weights):
        raise WeightsError(f"{source} is an SDXL, expected a Stable Diffusion 2.1; name one, such as 2.1-base")
    if any(key.startswith("cond_stage_model.transformer.") for key in weights):
        raise WeightsError(f"{source} is a Stable Diffusion 1, expected a 2.1; name one, such as 2.1-base")
    if not any(key.startswith(unet_prefix) for key in weights):
        raise WeightsError(f"{source} is no Stable Diffusion: it has no keys {unet_prefix}...; name another file")
