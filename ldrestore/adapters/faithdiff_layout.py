"""FaithDiff's published file, apart: a U-Net of SDXL, an LQ encoder and a residual alignment.

Chen et al. 2024 (https://arxiv.org/abs/2411.18824; https://github.com/JyChen9811/FaithDiff, MIT). The file holds the
U-Net's keys as diffusers has them, and four parts more beside them. Written from the names and shapes of its published
code; the file itself was not at hand.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ldrestore.errors import WeightsError

ENCODER, CONDITION, LAYERS, PROJECTION = (
    "denoise_encoder.",
    "condition_embedding.",
    "information_transformer_layes.",  # spelt so
    "spatial_ch_projs.",
)
"""How the keys of its own parts begin."""

UNUSED = ("agg_net.",)
"""Parts that the file may hold and its network does not use."""

_CONDITION_LAYERS = {"norm_in": "lq_projection.0", "conv_in": "lq_projection.1", "conv_out": "lq_projection.3"}

_BLOCK_LAYERS = {
    "attn.in_proj_weight": "to_qkv.weight",
    "attn.in_proj_bias": "to_qkv.bias",
    "attn.out_proj.weight": "to_out.weight",
    "attn.out_proj.bias": "to_out.bias",
    "ln_1.weight": "norm1.weight",
    "ln_1.bias": "norm1.bias",
    "ln_2.weight": "norm2.weight",
    "ln_2.bias": "norm2.bias",
    "mlp.c_fc.weight": "mlp.0.weight",
    "mlp.c_fc.bias": "mlp.0.bias",
    "mlp.c_proj.weight": "mlp.2.weight",
    "mlp.c_proj.bias": "mlp.2.bias",
}


def split_faithdiff(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The parts of the published file.

    Args:
        weights: Key to tensor, as in the file.

    Returns:
        "unet" to weights of `UNet2DConditionModel`; "lq_encoder" to those of an `LQEncoder` without latents; "fusion"
        to those of a `ResidualAlignment`.

    Raises:
        WeightsError: a part is missing, or has another layout.
    """
    missing = [
        part for part in (ENCODER, CONDITION, LAYERS, PROJECTION) if not any(k.startswith(part) for k in weights)
    ]
    if missing:
        raise WeightsError(f"this is no FaithDiff: it has no {', '.join(part.rstrip('.') for part in missing)}")
    parts: dict[str, dict[str, Tensor]] = {"unet": {}, "lq_encoder": {}, "fusion": {}}
    for key, value in weights.items():
        if key.startswith(UNUSED):
            continue
        part, name = _home_of(key)
        parts[part][name] = value
    return parts


def options_of_alignment(fusion: Mapping[str, Tensor], *, num_heads: int = 8) -> dict[str, Any]:
    """Constructor arguments of `ResidualAlignment` that the shapes call for; the heads leave no trace in them.

    Args:
        fusion: Of `split_faithdiff`.
        num_heads: Published: 8.
    """
    num_channels, lq_channels = fusion["lq_projection.3.weight"].shape[:2]
    blocks = {key.split(".")[1] for key in fusion if key.startswith("blocks.")}
    return {
        "num_channels": num_channels,
        "lq_channels": lq_channels,
        "num_heads": num_heads,
        "num_blocks": len(blocks),
        "lq_projection_layers": 2,
    }


def _home_of(key: str) -> tuple[str, str]:
    """The part of a key of the file, and its name there.

    Raises:
        WeightsError: a layer that the published network has not.
    """
    if key.startswith(ENCODER):
        return "lq_encoder", f"encoder.{key.removeprefix(ENCODER)}"
    if key.startswith(PROJECTION):
        return "fusion", f"proj_out.{key.removeprefix(PROJECTION)}"
    if key.startswith(CONDITION):
        layer, _, leaf = key.removeprefix(CONDITION).partition(".")
        if layer in _CONDITION_LAYERS:
            return "fusion", f"{_CONDITION_LAYERS[layer]}.{leaf}"
    elif key.startswith(LAYERS):
        block, _, layer = key.removeprefix(LAYERS).partition(".")
        if layer in _BLOCK_LAYERS:
            return "fusion", f"blocks.{block}.{_BLOCK_LAYERS[layer]}"
    else:
        return "unet", key
    raise WeightsError(f"FaithDiff's published network has no {key}")
