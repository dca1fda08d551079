"""Multimodal guides of two layers, written to a folder as the Hub has them."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    CLIPImageProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from ldrestore.guides.loading_quietly import without_progress_bar

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
WORDS = (
    "[UNK]",
    *SPECIAL,
    "user",
    "assistant",
    "What",
    "kinds",
    "of",
    "degradation",
    "are",
    "in",
    "this",
    "image",
    "?",
)
IMAGE_TOKEN = WORDS.index("<|image_pad|>")

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_tokenizer():
    """A tokenizer that knows the default question and little else."""
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=list(SPECIAL[1:]),
    )


def text_config(width):
    """Two decoder layers."""
    return {
        "vocab_size": len(WORDS),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 512,
        "initializer_range": 0.5,
        "bos_token_id": 1,
        "eos_token_id": 3,
        "pad_token_id": 1,
    }


def write_tiny_guide(folder, seed=0, width=16):
    """Write a Qwen2.5-VL: patches of 4 pixels, four of them a token, pictures of 64 to 1024 pixels."""
    config = Qwen2_5_VLConfig(
        text_config={
            **text_config(width),
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, width // 4 - 2], "rope_theta": 1e4},
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 16,
            "out_hidden_size": width,
            "fullatt_block_indexes": [1],
            "initializer_range": 0.5,
        },
        image_token_id=IMAGE_TOKEN,
        video_token_id=IMAGE_TOKEN + 1,
        vision_start_token_id=WORDS.index("<|vision_start|>"),
        vision_end_token_id=WORDS.index("<|vision_end|>"),
    )
    shown = {
        "patch_size": 4,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "size": {"shortest_edge": 64, "longest_edge": 1024},
    }
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(**shown), tiny_tokenizer(), Qwen2VLVideoProcessor(**shown), chat_template=TEMPLATE
    )
    return _write(Qwen2_5_VLForConditionalGeneration, config, processor, folder, seed)


def write_tiny_llava(folder, seed=0, width=12):
    """Write a LLaVA: another image-text-to-text model, with pictures of 16x16 in four tokens."""
    config = LlavaConfig(
        text_config={"model_type": "llama", **text_config(width)},
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
        },
        image_token_index=IMAGE_TOKEN,
    )
    shown = CLIPImageProcessor(size={"height": 16, "width": 16}, crop_size={"height": 16, "width": 16})
    processor = LlavaProcessor(
        shown,
        tiny_tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token="<|image_pad|>",
        num_additional_image_tokens=1,
    )
    return _write(LlavaForConditionalGeneration, config, processor, folder, seed)


def _write(model_class, config, processor, folder, seed):
    torch.manual_seed(seed)
    with without_progress_bar():
        model_class(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
