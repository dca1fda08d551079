"""SDXL's classes at widths that take milliseconds."""

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from tokenizers import Tokenizer as WordTokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from ldrestore.checkpoints.sdxl import XLSizes
from ldrestore.checkpoints.stable_diffusion import SCHEDULE
from tests.tiny_autoencoder import make_vae

TEXT_DIM, POOLED_DIM, TIME_IDS = 20, 12, 6


def tiny_unet(seed: int = 0) -> UNet2DConditionModel:
    """SDXL's U-Net: no attention at the finest level, text and time ids in the embedding."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        cross_attention_dim=TEXT_DIM,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=POOLED_DIM + 4 * TIME_IDS,
    )
    return unet.eval()


def unet_inputs(batch: int = 1, size: int = 8) -> dict[str, Tensor]:
    """Arguments of one forward pass."""
    torch.manual_seed(3)
    return {
        "sample": torch.randn(batch, 4, size, size),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(batch, 5, TEXT_DIM),
        "added_cond_kwargs": {
            "text_embeds": torch.randn(batch, POOLED_DIM),
            "time_ids": torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]]).expand(batch, -1),
        },
    }


MAX_TOKENS = 12
"""Of the tiny text encoders."""


def tiny_tokenizer():
    """Words of lower case, of which "<start>" and "<end>" stand around a text and "!" fills it up."""
    words = ["!", "a", "remove", "the", "rain", "haze", "and", "photo", "of", "house", "<start>", "<end>", "?"]
    tokenizer = WordTokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="?"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", words.index("<start>")), ("<end>", words.index("<end>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<start>",
        eos_token="<end>",
        pad_token="!",
        unk_token="?",
        model_max_length=MAX_TOKENS,
    )


def tiny_text_encoders():
    """Both of SDXL's, 8 and 12 wide: together the width of the tiny U-Net's text."""
    encoders = []
    for kind, width in ((CLIPTextModel, TEXT_DIM - POOLED_DIM), (CLIPTextModelWithProjection, POOLED_DIM)):
        torch.manual_seed(width)
        config = CLIPTextConfig(
            hidden_size=width,
            intermediate_size=16,
            num_attention_heads=2,
            num_hidden_layers=2,
            vocab_size=13,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=POOLED_DIM,
            bos_token_id=10,
            eos_token_id=11,
            pad_token_id=0,
        )
        encoders.append(kind(config).eval().requires_grad_(False))
    return encoders


def tiny_xl_base():
    """A base in SDXL's form, latents of a quarter of the picture's side; its decoder reaches all of [0, 1]."""
    first, second = tiny_text_encoders()
    vae: AutoencoderKL = make_vae()
    vae.register_to_config(scaling_factor=0.13025)
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(5)
    return {
        "vae": vae,
        "unet": tiny_unet().requires_grad_(False),
        "text_encoder": first,
        "text_encoder_2": second,
        "tokenizer": tiny_tokenizer(),
        "tokenizer_2": tiny_tokenizer(),
        "scheduler": DDIMScheduler(**SCHEDULE),
    }


def xl_sizes_of(parts):
    """What a single file does not tell."""
    return XLSizes(
        unet=dict(parts["unet"].config),
        vae=dict(parts["vae"].config),
        text_encoder=parts["text_encoder"].config.to_dict(),
        text_encoder_2=parts["text_encoder_2"].config.to_dict(),
    )
