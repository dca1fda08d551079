"""SDXL's classes at widths that take milliseconds."""

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

TEXT_DIM, POOLED_DIM, TIME_IDS = 20, 12, 6


def tiny_unet(seed: int = 0) -> UNet2DConditionModel:
    """SDXL's U-Net: no attention at the finest level, text and time ids in the embedding."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        cross_attention_dim=TEXT_DIM,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=POOLED_DIM + 4 * TIME_IDS,
    )
    return unet.eval()


def unet_inputs(batch: int = 1, size: int = 8) -> dict[str, Tensor]:
    """Arguments of one forward pass."""
    torch.manual_seed(3)
    return {
        "sample": torch.randn(batch, 4, size, size),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(batch, 5, TEXT_DIM),
        "added_cond_kwargs": {
            "text_embeds": torch.randn(batch, POOLED_DIM),
            "time_ids": torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]]).expand(batch, -1),
        },
    }
