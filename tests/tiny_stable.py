"""All parts of the stable track at tiny widths, with random weights that let everything act."""

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from tests.adapters.conftest import randomize, tiny_unet
from tests.tiny_autoencoder import make_drm, make_vae, trained
from tests.tiny_clip import tiny_text_encoder, tiny_tower

NAMES = ("rain", "haze", "jpeg")


def tiny_tokenizer():
    """Twenty words, of which the last two stand around a text and the first fills it up."""
    words = {f"word{index}": index for index in range(18)} | {"<start>": 18, "<end>": 19}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="word0")),
        bos_token="<start>",
        eos_token="<end>",
        pad_token="word0",
    )


def tiny_base():
    """A base in Stable Diffusion's form, latents of a quarter of the picture's side."""
    return {
        "vae": randomize_a_little(make_vae()),
        "unet": tiny_unet(),
        "text_encoder": tiny_text_encoder(),
        "tokenizer": tiny_tokenizer(),
        "scheduler": DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
    }


def tiny_adapters(unet):
    """What is trained upon a base, as after some steps."""
    torch.manual_seed(1)
    sizes = {"channels": (8, 16), "num_res_blocks": 1, "attention_levels": (0,), "num_heads": 2, "out_channels": 8}
    prompts = {"num_prompts": 3, "prompt_dim": 6, "num_prompt_heads": 2, "prompt_head_dim": 4, "num_groups": 4}
    parts = {
        "predictor": DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8),
        "cm_adapter": CMAdapter(NAMES, embedding_dim=6, text_dim=8, num_tokens=3, num_heads=2),
        "textual_prompts": TextualPromptPool(NAMES, num_tokens=2, text_dim=8),
        "ir_adapter": IRAdapter(NAMES, **sizes, **prompts),
        "injection": InjectionLayers.for_unet(unet, feature_channels=8),
    }
    return {name: randomize(part).eval() for name, part in parts.items()} | {"drm": trained(make_drm()).eval()}


def tiny_stable(**replaced):
    """A whole pipeline; parts may be replaced, or left out with None."""
    base = tiny_base()
    parts = {**base, **tiny_adapters(base["unet"]), "image_encoder": tiny_tower(), **replaced}
    pipeline = StableRestorePipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def randomize_a_little(vae: AutoencoderKL):
    """Its decoder reaches all of [0, 1]."""
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(5)
    return vae
