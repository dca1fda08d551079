"""The whole XL pipeline at the widths of SDXL base 1.0, with random weights.

About 3.6 billion weights: 8 GB in bfloat16.
"""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.checkpoints.sdxl import XLSizes
from ldrestore.checkpoints.stable_diffusion import SCHEDULE
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.weights.hashes import hash_of_weights
from tests.full_width_parts import count, fill
from tests.tiny_xl import tiny_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

NUM_WEIGHTS = {
    "vae": 83_653_863,
    "unet": 2_567_463_684,
    "text_encoder": 123_060_480,
    "text_encoder_2": 694_659_840,
}
"""Of the published parts."""
OURS = ("lq_encoder", "daff", "daem")


def without_weights():
    """Every part from its configuration alone: the base's at their published sizes, ours at their defaults."""
    sizes = XLSizes()
    with torch.device("meta"):
        return {
            "vae": AutoencoderKL(**sizes.vae),
            "unet": UNet2DConditionModel(**sizes.unet),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**sizes.text_encoder)),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**sizes.text_encoder_2)),
            "lq_encoder": LQEncoder(),
            "daff": DAFF(),
            "daem": DetailExpertModule(),
        }


def unet_step(unet):
    """What the bare U-Net gives for fixed inputs, (1, 4, 8, 8)."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return unet(
            torch.randn(1, 4, 8, 8, generator=generator).bfloat16(),
            torch.tensor(500),
            encoder_hidden_states=torch.randn(1, 77, 2048, generator=generator).bfloat16(),
            added_cond_kwargs={
                "text_embeds": torch.randn(1, 1280, generator=generator).bfloat16(),
                "time_ids": torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]]).bfloat16(),
            },
        ).sample


def test_the_parts_have_the_published_numbers_of_weights():
    parts = without_weights()
    assert {name: count(parts[name]) for name in NUM_WEIGHTS} == NUM_WEIGHTS
    assert {name: round(count(parts[name]) / 1e6, 1) for name in OURS} == {
        "lq_encoder": 34.2,
        "daff": 35.8,
        "daem": 13.2,
    }


def test_a_full_width_pipeline_restores_detaches_and_its_adapters_return(tmp_path):
    torch.manual_seed(0)
    parts = {name: fill(part) for name, part in without_weights().items()}
    bare = unet_step(parts["unet"])
    tokenizers = {"tokenizer": tiny_tokenizer(), "tokenizer_2": tiny_tokenizer()}
    pipeline = XLRestorePipeline(**parts, **tokenizers, scheduler=DDIMScheduler(**SCHEDULE))
    pipeline.set_progress_bar_config(disable=True)
    lq = np.random.default_rng(0).integers(0, 256, (72, 64, 3), dtype=np.uint8)

    def restored():
        return pipeline(lq, num_inference_steps=1, instruction="remove the rain", output_type="np").images[0]

    before = restored()
    assert before.shape == (72, 64, 3) and np.isfinite(before).all() and before.std() > 0
    hashes = {name: hash_of_weights(parts[name]) for name in OURS}
    folder = pipeline.save_adapters(tmp_path / "adapters", base="stabilityai/stable-diffusion-xl-base-1.0")
    assert sum(file.stat().st_size for file in folder.rglob("*")) < 2.2 * sum(count(parts[name]) for name in OURS)
    with torch.no_grad():
        for parameter in pipeline.daff.parameters():
            parameter.zero_()
    assert not np.array_equal(restored(), before)
    pipeline.load_adapters(folder)
    assert {name: hash_of_weights(pipeline.components[name]) for name in OURS} == hashes
    assert np.array_equal(restored(), before)
    pipeline.detach()
    assert torch.equal(unet_step(pipeline.unet), bare)
