"""Frozen models that look or read: what they say steers a restorer."""

from ldrestore.guides.clip_text import ClipTextEncoder, load_clip_text
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.guides.embedding_cache import EmbeddingCache, load_embedding_cache, picture_key
from ldrestore.guides.multimodal_guide import MultimodalGuide, load_multimodal_guide
from ldrestore.guides.sentence_encoder import SentenceEncoder, load_packaged_encoder

__all__ = [
    "ClipTextEncoder",
    "ClipTower",
    "EmbeddingCache",
    "MultimodalGuide",
    "SentenceEncoder",
    "load_clip_text",
    "load_embedding_cache",
    "load_multimodal_guide",
    "load_packaged_encoder",
    "picture_key",
]
