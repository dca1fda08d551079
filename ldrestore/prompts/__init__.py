"""Textual prompts: what a picture and its degradations say to the U-Net's cross-attention."""

from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.text_sequences import SpecialTokens, encode_embeddings, text_conditioning
from ldrestore.prompts.textual_prompts import TextualPromptPool

__all__ = ["CMAdapter", "SpecialTokens", "TextualPromptPool", "encode_embeddings", "text_conditioning"]
