"""Both halves of a CLIP at tiny widths, with random weights."""

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

WIDTHS = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2}

VISION = {**WIDTHS, "num_hidden_layers": 2, "image_size": 16, "patch_size": 8}


def tiny_text_encoder(vocabulary=20):
    """Twelve tokens; the last two of the vocabulary stand around a text and the first fills it up."""
    torch.manual_seed(0)
    config = CLIPTextConfig(
        **WIDTHS,
        num_hidden_layers=2,
        vocab_size=vocabulary,
        max_position_embeddings=12,
        projection_dim=8,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=0,
    )
    return CLIPTextModel(config).eval().requires_grad_(False)


def tiny_tower(projection_dim=6, **options):
    """The vision half, for pictures of 16 pixels."""
    torch.manual_seed(2)
    config = CLIPVisionConfig(**VISION, projection_dim=projection_dim, **options)
    return CLIPVisionModelWithProjection(config).eval().requires_grad_(False)
