"""Weights of bases at tiny widths under the names of the original files of Stable Diffusion 2 and SDXL."""

import re

import torch

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.attentions.0": "input_blocks.1.1",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.1.conv",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.attentions.0": "output_blocks.2.1",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "up_blocks.1.attentions.1": "output_blocks.3.1",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
"""Of two scales with one residual block each."""
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
TEXT = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


XL_UNET = {
    name: original for name, original in UNET.items() if "attentions" not in name or name.startswith("mid_block")
} | {
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
}
"""The same of SDXL, which attends at the coarser scale alone."""


def original_layout(parts, *, num_unused_layers=1):
    """Weights of U-Net, autoencoder and text encoder as one file has them."""
    text = text_layout(parts["text_encoder"], num_unused_layers=num_unused_layers)
    text["text_projection"] = torch.ones(1)
    return {
        **unet_and_autoencoder(parts, blocks=UNET),
        **{f"cond_stage_model.model.{name}": value for name, value in text.items()},
    }


def original_xl_layout(parts):
    """The same of SDXL, with both of its text encoders."""
    first = parts["text_encoder"].state_dict()
    second = text_layout(parts["text_encoder_2"].text_model, num_unused_layers=0)
    second["text_projection"] = parts["text_encoder_2"].text_projection.weight.T
    return {
        **unet_and_autoencoder(parts, blocks=XL_UNET),
        **{f"conditioner.embedders.0.transformer.text_model.{name}": value for name, value in first.items()},
        **{f"conditioner.embedders.1.model.{name}": value for name, value in second.items()},
    }


def unet_and_autoencoder(parts, *, blocks):
    """Weights of the two under their original names."""
    weights = {}
    for key, value in parts["unet"].state_dict().items():
        block = next(name for name in sorted(blocks, key=len, reverse=True) if key.startswith(f"{name}."))
        rest = key.removeprefix(f"{block}.")
        if ".resnets." in f"{block}.":
            module, _, kind = rest.rpartition(".")
            rest = f"{RESNET[module]}.{kind}"
        weights[f"model.diffusion_model.{blocks[block]}.{rest}"] = value
    for key, value in parts["vae"].state_dict().items():
        name = autoencoder_name(key, num_levels=len(parts["vae"].config.block_out_channels))
        is_projection = ".attn_1." in name and value.ndim == 2
        weights[f"first_stage_model.{name}"] = value[..., None, None] if is_projection else value
    return weights


def autoencoder_name(key, *, num_levels):
    """Name of a weight of `AutoencoderKL` in the original."""
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", key)
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda found: f"up.{num_levels - 1 - int(found[1])}.block", key)
    key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{num_levels - 1 - int(found[1])}.upsample", key)
    if "mid_block.attentions.0." in key:
        head, rest = key.split("mid_block.attentions.0.")
        module, _, kind = rest.rpartition(".")
        return f"{head}mid.attn_1.{ATTENTION[module]}.{kind}"
    return key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def text_layout(encoder, *, num_unused_layers):
    """Weights of a text encoder as OpenCLIP has them, with further layers that nobody uses."""
    state, weights = encoder.state_dict(), {}
    used = encoder.config.num_hidden_layers
    for layer in range(used + num_unused_layers):
        theirs, ours = f"transformer.resblocks.{layer}", f"encoder.layers.{min(layer, used - 1)}"
        for kind in ("weight", "bias"):
            joint = [state[f"{ours}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            weights[f"{theirs}.attn.in_proj_{kind}"] = torch.cat(joint)
            for name, original in LAYER.items():
                weights[f"{theirs}.{original}.{kind}"] = state[f"{ours}.{name}.{kind}"]
    return weights | {original: state[name] for name, original in TEXT.items()}
