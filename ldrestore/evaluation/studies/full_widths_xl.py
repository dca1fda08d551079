"""An XL model of full widths with random weights, built from configuration: what costs depend on."""

from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.checkpoints.sdxl import XLSizes
from ldrestore.checkpoints.stable_diffusion import SCHEDULE
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.refiners.daem import DetailExpertModule


def full_xl_parts() -> dict[str, Any]:
    """SDXL base 1.0 and our parts at their defaults; random weights, and a tokenizer that knows no word."""
    torch.manual_seed(0)
    sizes = XLSizes()
    return {
        "vae": AutoencoderKL(**sizes.vae),
        "unet": UNet2DConditionModel(**sizes.unet),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**sizes.text_encoder)),
        "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**sizes.text_encoder_2)),
        "tokenizer": wordless_tokenizer(),
        "tokenizer_2": wordless_tokenizer(),
        "scheduler": DDIMScheduler(**SCHEDULE),
        "lq_encoder": LQEncoder(),
        "daff": DAFF(),
        "daem": DetailExpertModule(),
    }


def xl_img2img_of(pipeline: XLRestorePipeline) -> StableDiffusionXLImg2ImgPipeline:
    """The img2img of diffusers on the same base; texts are given as embeddings, so it has no text encoder."""
    base = StableDiffusionXLImg2ImgPipeline(
        vae=pipeline.vae,
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=pipeline.unet,
        scheduler=pipeline.scheduler,
        add_watermarker=False,
    )
    base.set_progress_bar_config(disable=True)
    return base


def wordless_tokenizer() -> CLIPTokenizer:
    """Start and end, and no word between them; texts cost the same whatever they say."""
    return CLIPTokenizer(vocab={"<|startoftext|>": 0, "<|endoftext|>": 1}, merges=[], model_max_length=77)
