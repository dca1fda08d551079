"""A small autoencoder in Stable Diffusion's form, and a refinement module for it."""

import torch
from diffusers import AutoencoderKL

from ldrestore.refiners.drm import DetailRefinementModule

WIDTHS = {3: (8, 8, 16), 4: (8, 16, 16, 16)}
"""By the number of resolutions: latents of a quarter and of an eighth of the picture's side."""


def make_vae(num_levels=3):
    """With random weights, frozen as in training."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=WIDTHS[num_levels],
        down_block_types=("DownEncoderBlock2D",) * num_levels,
        up_block_types=("UpDecoderBlock2D",) * num_levels,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
    )
    return vae.eval().requires_grad_(False)


def make_drm(num_levels=3, **options):
    """A new module, for three degradations."""
    torch.manual_seed(1)
    options = {"degradations": ("rain", "haze", "jpeg"), "num_prompts": 3, "prompt_dim": 8, **options}
    return DetailRefinementModule(
        WIDTHS[num_levels], (8,) * num_levels, head_dim=4, window_size=4, norm_num_groups=4, num_res_blocks=1, **options
    )


def trained(drm, strength=0.05):
    """As after some steps: nothing is zero any more."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in drm.parameters():
            parameter.add_(strength * torch.randn_like(parameter))
    return drm
