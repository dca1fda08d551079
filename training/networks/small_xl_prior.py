"""The small XL prior: SDXL's classes at small widths, grown from the small prior in Stable Diffusion's form.

The autoencoder is shared. Both text encoders begin as the small prior's, and the U-Net begins as the small prior's too.
It attends to both texts with half the weight each, and what it is told of the pooled text and of sizes adds nothing
yet. So a short run of training does where random weights would need a long one.
"""

from typing import TYPE_CHECKING, Any

import torch

from ldrestore.prompts.xl_text import NUM_TIME_IDS

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

TIME_EMBED_DIM = 16
"""Width of the embedding of each of the six sizes."""


def grown_text_encoders(small: "CLIPTextModel") -> "tuple[CLIPTextModel, CLIPTextModelWithProjection]":
    """Both text encoders of SDXL, each with one more layer than the small prior's.

    SDXL takes the states before the last layer, so that they are what the small prior's last layer puts out; the new
    layer begins as the identity, and the projection too.

    Args:
        small: The small prior's.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    width, num_layers = small.config.hidden_size, small.config.num_hidden_layers
    options = {**small.config.to_dict(), "num_hidden_layers": num_layers + 1, "projection_dim": width}
    options.pop("dtype", None)  # of the file that it was read from
    first = CLIPTextModel(CLIPTextConfig(**options))
    second = CLIPTextModelWithProjection(CLIPTextConfig(**options))
    for encoder in (first, second.text_model):
        encoder.load_state_dict(small.state_dict(), strict=False)  # the new layer is not among them
        layer = encoder.encoder.layers[num_layers]
        for last in (layer.self_attn.out_proj, layer.mlp.fc2):
            torch.nn.init.zeros_(last.weight)
            torch.nn.init.zeros_(last.bias)
    torch.nn.init.eye_(second.text_projection.weight)
    return first.eval(), second.eval()


def grown_unet(small: "UNet2DConditionModel", *, pooled_dim: int) -> "UNet2DConditionModel":
    """SDXL's U-Net that begins as the small prior's.

    Args:
        small: The small prior's.
        pooled_dim: Width of the pooled text.
    """
    from diffusers import UNet2DConditionModel

    own = {key: value for key, value in small.config.items() if not key.startswith("_")}
    unet = UNet2DConditionModel(
        **{
            **own,
            "cross_attention_dim": 2 * own["cross_attention_dim"],
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": TIME_EMBED_DIM,
            "projection_class_embeddings_input_dim": pooled_dim + NUM_TIME_IDS * TIME_EMBED_DIM,
        }
    )
    weights: dict[str, Any] = dict(small.state_dict())
    for key in weights:
        if key.endswith(("attn2.to_k.weight", "attn2.to_v.weight")):
            weights[key] = torch.cat([weights[key], weights[key]], dim=1) / 2
    weights |= {key: value for key, value in unet.state_dict().items() if key.startswith("add_embedding.")}
    for name in ("weight", "bias"):
        weights[f"add_embedding.linear_2.{name}"] = torch.zeros_like(weights[f"add_embedding.linear_2.{name}"])
    unet.load_state_dict(weights)
    return unet
