"""A Stable model of full widths with random weights, built from configuration: what costs depend on."""

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


def full_parts() -> dict[str, Any]:
    """Stable Diffusion 2.1, ViT-H/14 and adapters of the released sizes, which are their defaults; random weights."""
    torch.manual_seed(0)
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


def img2img_of(pipeline: StableRestorePipeline) -> StableDiffusionImg2ImgPipeline:
    """The img2img of diffusers on the same base; texts are given as embeddings, so it has no text encoder."""
    base = StableDiffusionImg2ImgPipeline(
        vae=pipeline.vae,
        text_encoder=None,
        tokenizer=None,
        unet=pipeline.unet,
        scheduler=pipeline.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    base.set_progress_bar_config(disable=True)
    return base


def part_sizes(parts: dict[str, Any]) -> dict[str, int]:
    """Parameters of each network."""
    return {name: sum(value.numel() for value in part.parameters()) for name, part in networks_of(parts).items()}


def networks_of(parts: dict[str, Any]) -> dict[str, nn.Module]:
    """Those parts that have weights."""
    return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}
