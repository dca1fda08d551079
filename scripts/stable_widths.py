"""Pipelines of the stable track with random weights, built from configuration: what costs depend on."""

from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionImg2ImgPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.checkpoints.stable_diffusion import SCHEDULE, BaseSizes
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.training.networks.small_prior import (
    SmallPriorConfig,
    create_image_encoder,
    create_scheduler,
    create_text_encoder,
    create_tokenizer,
    create_unet,
    create_vae,
)

VIT_H = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}
"""OpenCLIP's ViT-H/14, the vision half."""

NAMES_OF_WIDTHS = ("full", "small")
"""Stable Diffusion 2.1 with the released sizes of the adapters; something near the embedded prior, to try a script."""


def build_parts(widths: str, *, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """All parts of the pipeline by name, with random weights, ready to compute.

    Args:
        widths: One of `NAMES_OF_WIDTHS`.
        dtype: Number format of the weights.
    """
    torch.manual_seed(0)
    parts = _full_parts() if widths == "full" else _small_parts()
    for part in parts.values():
        if isinstance(part, nn.Module):
            nn.Module.to(part.eval().requires_grad_(False), dtype)  # that of diffusers warns of every cast
    return parts


def count_parameters(widths: str) -> dict[str, int]:
    """Parameters of each part; no memory is taken for them."""
    with torch.device("meta"):
        parts = build_parts(widths)
    networks = {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
    return {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in networks.items()}


def build_restorer(widths: str, *, dtype: torch.dtype) -> StableRestorePipeline:
    """Our pipeline, quiet."""
    pipeline = StableRestorePipeline(**build_parts(widths, dtype=dtype))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def build_img2img(widths: str, *, dtype: torch.dtype) -> StableDiffusionImg2ImgPipeline:
    """The img2img of diffusers on the same base, quiet; texts are given as embeddings, so it has no text encoder."""
    parts = build_parts(widths, dtype=dtype)
    pipeline = StableDiffusionImg2ImgPipeline(
        vae=parts["vae"],
        text_encoder=None,
        tokenizer=None,
        unet=parts["unet"],
        scheduler=parts["scheduler"],
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _full_parts() -> dict[str, Any]:
    """Stable Diffusion 2.1, ViT-H/14 and adapters of the released sizes, which are their defaults."""
    sizes = BaseSizes()
    unet = UNet2DConditionModel(**sizes.unet)
    return {
        "vae": AutoencoderKL(**sizes.vae),
        "unet": unet,
        "text_encoder": CLIPTextModel(CLIPTextConfig(**sizes.text_encoder)),
        "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**VIT_H)),
        "scheduler": DDIMScheduler(**SCHEDULE),
        "tokenizer": None,
        "predictor": DegradationPredictor(),
        "cm_adapter": CMAdapter(),
        "textual_prompts": TextualPromptPool(),
        "ir_adapter": IRAdapter(),
        "injection": InjectionLayers.for_unet(unet),
        "drm": DetailRefinementModule(),
    }


def _small_parts() -> dict[str, Any]:
    """The small prior with small adapters."""
    sizes = SmallPriorConfig()
    clip, latents = sizes.clip, sizes.vae.latent_channels
    unet = create_unet(sizes.unet, latent_channels=latents, text_width=clip.text_width)
    adapter = {"channels": (24, 32, 48, 64), "num_res_blocks": 1, "attention_levels": (2,), "num_groups": 8}
    prompts = {"prompt_dim": 64, "num_prompt_heads": 4, "prompt_head_dim": 16}
    refiner = {"prompt_dim": 64, "num_res_blocks": 1, "head_dim": 8, "norm_num_groups": 8}
    return {
        "vae": create_vae(sizes.vae),
        "unet": unet,
        "text_encoder": create_text_encoder(clip),
        "image_encoder": create_image_encoder(clip),
        "scheduler": create_scheduler(),
        "tokenizer": create_tokenizer(clip, ["a photo"]),
        "predictor": DegradationPredictor(embedding_dim=clip.embedding_dim, hidden_dim=64),
        "cm_adapter": CMAdapter(embedding_dim=clip.embedding_dim, text_dim=clip.text_width, num_tokens=8, num_heads=4),
        "textual_prompts": TextualPromptPool(num_tokens=8, text_dim=clip.text_width),
        "ir_adapter": IRAdapter(in_channels=latents, out_channels=48, **adapter, **prompts),
        "injection": InjectionLayers.for_unet(unet, feature_channels=48, hidden_channels=32),
        "drm": DetailRefinementModule(sizes.vae.widths, (16, 32, 48), **refiner),
    }
