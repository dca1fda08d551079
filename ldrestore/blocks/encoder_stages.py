"""An autoencoder's encoder walked block by block, since its features are taken before each downsampling."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def encoder_stages(encoder: Any, pixels: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """What diffusers' `Encoder` makes of pictures on its way, up to its last normalisation.

    Checkpointed as `enable_gradient_checkpointing` of the model around it asks for.

    Args:
        encoder: Of `AutoencoderKL`, of `DownEncoderBlock2D`; diffusers declares the types of none of its parts.
        pixels: (B, 3, H, W), in [-1, 1].

    Returns:
        (B, C, H / 2^k, W / 2^k) for level k, the full resolution first: the states after the residual blocks there; and
        the states behind the middle block.
    """
    features: list[Tensor] = []
    hidden_states = encoder.conv_in(pixels)
    for block in encoder.down_blocks:
        hidden_states = _run(encoder, _residual_blocks(block), hidden_states)
        features.append(hidden_states)
        for downsampler in block.downsamplers or ():
            hidden_states = downsampler(hidden_states)
    return tuple(features), _run(encoder, encoder.mid_block, hidden_states)


def _residual_blocks(block: Any) -> Callable[[Tensor], Tensor]:
    """All residual blocks of a resolution as one function."""

    def run(hidden_states: Tensor) -> Tensor:
        for resnet in block.resnets:
            hidden_states = resnet(hidden_states, temb=None)
        return hidden_states

    return run


def _run(encoder: Any, stage: Callable[[Tensor], Tensor], hidden_states: Tensor) -> Tensor:
    """A stage, computed again in the backward pass where that is asked for."""
    if torch.is_grad_enabled() and encoder.gradient_checkpointing:
        return encoder._gradient_checkpointing_func(stage, hidden_states)
    return stage(hidden_states)
