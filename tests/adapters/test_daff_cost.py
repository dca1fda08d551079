"""What DAFF costs beside SDXL's U-Net at full widths, counted on the meta device, where nothing is computed."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from ldrestore.adapters.daff import DAFF
from ldrestore.checkpoints.sdxl import XLSizes


def macs(compute):
    """Multiplications with addition of a forward pass."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops() / 2


@pytest.mark.slow
def test_daff_costs_little_beside_a_step_of_the_unet_at_1024_pixels():
    with torch.device("meta"):
        unet, daff = UNet2DConditionModel(**XLSizes().unet), DAFF()
        latents, words = torch.empty(1, 4, 128, 128), torch.empty(1, 77, 2048)
        added = {"text_embeds": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)}
        lq, hq, timestep = torch.empty(1, 512, 128, 128), torch.empty(1, 320, 128, 128), torch.ones(())
        prepared = daff.prepare(lq, torch.cat([words, words], dim=1))["conv_in"]
    of_unet = macs(lambda: unet(latents, timestep, words, added_cond_kwargs=added))
    of_daff = macs(lambda: daff(hq, timestep, prepared, place="conv_in"))
    assert of_unet == pytest.approx(3.4e12, rel=0.05)
    assert of_daff <= 0.15 * of_unet
