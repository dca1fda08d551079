"""Frozen models that look or read: what they say steers a restorer."""

from ldrestore.guides.sentence_encoder import SentenceEncoder, load_packaged_encoder

__all__ = ["SentenceEncoder", "load_packaged_encoder"]
