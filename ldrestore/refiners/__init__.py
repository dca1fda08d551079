"""From latents to pixels, with the details that the latents lost."""

from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.refiners.refined_decoder import (
    EncodedPicture,
    decode_refined,
    decode_refined_tiled,
    encode_picture,
    encode_tiled,
    plan_of,
)

__all__ = [
    "DetailRefinementModule",
    "EncodedPicture",
    "decode_refined",
    "decode_refined_tiled",
    "encode_picture",
    "encode_tiled",
    "plan_of",
]
