import pytest
import torch
from diffusers import UNet2DConditionModel

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from tests.recorded_backend import recorded_backend  # noqa: F401  a fixture


def tiny_unet(**options):
    """A classic U-Net of two scales, in the manner of Stable Diffusion 2.1."""
    torch.manual_seed(0)
    sizes = dict(
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
        sample_size=8,
    )
    return UNet2DConditionModel(**(sizes | options)).requires_grad_(False).eval()


def randomize(network):
    """Weights of a trained network, so to speak: nothing is zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


@pytest.fixture
def unet():
    return tiny_unet()


@pytest.fixture
def injection(unet):
    torch.manual_seed(2)
    return InjectionLayers.for_unet(unet, feature_channels=8)


@pytest.fixture
def ir_adapter():
    torch.manual_seed(3)
    return IRAdapter(
        degradations=["haze", "rain", "snow"],
        channels=(8, 16),
        num_res_blocks=1,
        attention_levels=(0,),
        num_heads=2,
        out_channels=8,
        num_prompts=3,
        prompt_dim=6,
        num_prompt_heads=2,
        prompt_head_dim=4,
        num_groups=4,
    )


@pytest.fixture
def inputs():
    """Latents, timestep and prompt for the U-Net; an odd size."""
    generator = torch.Generator().manual_seed(4)
    return (
        torch.randn(2, 4, 7, 5, generator=generator),
        torch.tensor([500, 20]),
        torch.randn(2, 3, 8, generator=generator),
    )


def features_like(latents, *, seed=5):
    """Two features for latents of (B, 4, 7, 5)."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(len(latents), 8, *size, generator=generator) for size in ((7, 5), (4, 3)))
