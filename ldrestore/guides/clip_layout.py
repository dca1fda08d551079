"""Both halves of OpenCLIP's checkpoints in the layout of transformers."""

import math
from collections.abc import Mapping

from torch import Tensor
from transformers import CLIPVisionConfig

from ldrestore.errors import WeightsError
from ldrestore.weights.fitting import count_modules

PREFIX = "visual."
"""Before the keys of the tower in a checkpoint of OpenCLIP."""

TEXT_PREFIX = "cond_stage_model.model."
"""Before the keys of OpenCLIP's text half in a file of the original Stable Diffusion 2."""

NUM_HEADS = {768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}
"""Width to heads of the published towers (B, L, H, g, bigG), which no weight tells."""

_OUTSIDE = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",  # spelled so by transformers
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
_TEXT_OUTSIDE = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_TEXT_UNUSED = frozenset({"text_projection", "logit_scale", "attn_mask"})
_INSIDE = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def tower_config(
    weights: Mapping[str, Tensor], *, num_heads: int | None = None, hidden_act: str = "gelu", source: str
) -> CLIPVisionConfig:
    """Sizes of the tower, read off the shapes of OpenCLIP's checkpoint.

    Args:
        weights: A whole checkpoint of OpenCLIP, key to tensor.
        num_heads: Heads of an attention; None for those of the published towers of that width.
        hidden_act: "gelu", or "quick_gelu" for the weights that OpenAI trained.
        source: Where the weights come from, for messages.

    Raises:
        WeightsError: there is no such tower in it, or its heads are not known.
    """
    needed = ("conv1.weight", "positional_embedding", "proj", "transformer.resblocks.0.mlp.c_fc.weight")
    missing = [PREFIX + key for key in needed if PREFIX + key not in weights]
    if missing:
        raise WeightsError(
            f"{source} is no checkpoint of an OpenCLIP with a vision transformer: it has no {missing[0]}; its first "
            f"keys are {', '.join(list(weights)[:3])}"
        )
    conv, positions, projection, mlp = (weights[PREFIX + key] for key in needed)
    width, _, patch_size, _ = conv.shape
    heads = NUM_HEADS.get(width) if num_heads is None else num_heads
    if heads is None:
        raise WeightsError(f"{source}: no published tower is {width} wide, and weights do not tell the number of heads")
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=mlp.shape[0],
        projection_dim=projection.shape[1],
        num_hidden_layers=count_modules(weights, f"{PREFIX}transformer.resblocks."),
        num_attention_heads=heads,
        image_size=math.isqrt(positions.shape[0] - 1) * patch_size,
        patch_size=patch_size,
        hidden_act=hidden_act,
    )


def tower_weights(weights: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """The tower's weights under the keys of `CLIPVisionModelWithProjection`; the text half is left out.

    Args:
        weights: A whole checkpoint of OpenCLIP, key to tensor.
        source: Where the weights come from, for messages.

    Raises:
        WeightsError: the tower has a weight that transformers' has no place for.
    """
    converted: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        if key == f"{PREFIX}proj":
            converted["visual_projection.weight"] = tensor.T.contiguous()  # (D, width)
        elif key.startswith(PREFIX):
            converted |= _renamed(key.removeprefix(PREFIX), tensor, source=source)
    return converted


def text_weights(
    weights: Mapping[str, Tensor], *, num_layers: int, source: str, prefix: str = TEXT_PREFIX
) -> dict[str, Tensor]:
    """OpenCLIP's text half inside a file of the original Stable Diffusion, under the keys of `CLIPTextModel`.

    Args:
        weights: The whole file, key to tensor.
        num_layers: Layers that are used, from the first; Stable Diffusion 2 leaves out the last.
        source: Where the weights come from, for messages.
        prefix: Before its keys there.

    Raises:
        WeightsError: it has a weight that transformers' has no place for.
    """
    converted: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        name = key.removeprefix(prefix)
        if not key.startswith(prefix) or name in _TEXT_UNUSED:
            continue
        if name in _TEXT_OUTSIDE:
            converted[_TEXT_OUTSIDE[name]] = tensor
            continue
        layer = _renamed_layer(name, tensor)
        if layer is None:
            raise WeightsError(f"{source}: the text encoder has {key}, which OpenCLIP's has not")
        if int(name.split(".")[2]) < num_layers:
            converted |= layer
    return converted


def _renamed(key: str, tensor: Tensor, *, source: str) -> dict[str, Tensor]:
    """One weight of the tower under its new name; three for the joint projection of q, k and v.

    Raises:
        WeightsError: it has no place.
    """
    if key in _OUTSIDE:
        return {f"vision_model.{_OUTSIDE[key]}": tensor}
    layer = _renamed_layer(key, tensor)
    if layer is None:
        raise WeightsError(f"{source}: the vision tower has {PREFIX}{key}, which a plain vision transformer has not")
    return {f"vision_model.{name}": value for name, value in layer.items()}


def _renamed_layer(key: str, tensor: Tensor) -> dict[str, Tensor] | None:
    """One weight of a transformer's layer under its new name, three for a joint projection; None if it is not one."""
    prefix, _, rest = key.partition("transformer.resblocks.")
    number, _, name = rest.partition(".")
    module, _, kind = name.rpartition(".")
    layer = f"encoder.layers.{number}"
    if not prefix and name in {"attn.in_proj_weight", "attn.in_proj_bias"}:
        kind = name.removeprefix("attn.in_proj_")
        parts = zip("qkv", tensor.chunk(3), strict=True)
        return {f"{layer}.self_attn.{letter}_proj.{kind}": part.contiguous() for letter, part in parts}
    if not prefix and module in _INSIDE:
        return {f"{layer}.{_INSIDE[module]}.{kind}": tensor}
    return None
