"""FaithDiff's published file to the parts that UniLDiff's residual alignment is made of.

Chen et al. 2024 (https://arxiv.org/abs/2411.18824; https://github.com/JyChen9811/FaithDiff, MIT). See
`adapters.faithdiff_layout`; the published file was not at hand, its names and shapes are those of the published code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import ModelMixin, UNet2DConditionModel
from torch import Tensor

from ldrestore.adapters.faithdiff_layout import options_of_alignment, split_faithdiff
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.checkpoints.sdxl import XLSizes
from ldrestore.weights.fitting import check_fit


@dataclass(frozen=True, slots=True, kw_only=True)
class FaithDiffSizes:
    """Sizes that the file does not tell; the defaults are the published ones."""

    unet: Mapping[str, Any] = field(default_factory=lambda: XLSizes().unet)
    """Of `UNet2DConditionModel`."""
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    """Of the LQ encoder."""
    layers_per_block: int = 2
    """Of the LQ encoder."""
    norm_num_groups: int = 32
    """Of the LQ encoder."""
    num_heads: int = 8
    """Of the alignment."""


def faithdiff_parts(
    weights: Mapping[str, Tensor], *, sizes: FaithDiffSizes | None = None, source: str
) -> dict[str, ModelMixin]:
    """The parts, in the file's number format and upon its memory.

    Args:
        weights: Key to tensor, as in the file.
        sizes: What the file does not tell; None for the published ones.
        source: Name of the file, for messages.

    Returns:
        "unet", "lq_encoder" and "residual_alignment", as a pipeline calls them.

    Raises:
        WeightsError: it is no such file, or lacks something.
    """
    sizes, split = sizes or FaithDiffSizes(), split_faithdiff(weights)
    with torch.device("meta"):  # 2.6 billion weights, of which there shall be one copy
        parts: dict[str, ModelMixin] = {
            "unet": UNet2DConditionModel(**sizes.unet),
            "lq_encoder": LQEncoder(
                block_out_channels=sizes.block_out_channels,
                layers_per_block=sizes.layers_per_block,
                norm_num_groups=sizes.norm_num_groups,
                has_latents=False,
            ),
            "residual_alignment": ResidualAlignment(**options_of_alignment(split["fusion"], num_heads=sizes.num_heads)),
        }
    split["residual_alignment"] = split.pop("fusion")
    for name, part in parts.items():
        check_fit(part, {key: tensor.shape for key, tensor in split[name].items()}, source=source)
        part.load_state_dict(split[name], assign=True)
        part.eval()
    return parts
