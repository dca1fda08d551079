"""What users of diffusers switch on a pipeline keeps working on the XL track's."""

import accelerate
import numpy as np
import pytest
import torch
from diffusers import (
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
)

from tests.tiny_xl_pipeline import tiny_alignment, tiny_daff, tiny_xl

STEPS = {"num_inference_steps": 2}


@pytest.fixture
def xl():
    return tiny_xl()


def pixels_of(pipeline, lq, **options):
    return pipeline(lq, **(STEPS | options)).photos[0].pixels.astype(int)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own
@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # numpy's, to torch
@pytest.mark.parametrize(
    "scheduler_class",
    [
        DDPMScheduler,
        DEISMultistepScheduler,
        DPMSolverMultistepScheduler,
        DPMSolverSinglestepScheduler,
        EulerAncestralDiscreteScheduler,
        HeunDiscreteScheduler,
        KDPM2DiscreteScheduler,
        LCMScheduler,
        LMSDiscreteScheduler,
        PNDMScheduler,
    ],
)
def test_any_scheduler_takes_the_place(xl, picture, scheduler_class):
    lq, starts = picture(8, 8, 3), []
    options = {"skip_prk_steps": True} if scheduler_class is PNDMScheduler else {}
    xl.scheduler = scheduler_class.from_config(xl.scheduler.config, **options)
    xl.unet.register_forward_pre_hook(lambda module, inputs: starts.append(inputs[0]))
    outputs = [xl(one, **STEPS) for one in (lq, np.clip(lq.astype(int) + 120, 0, 255).astype(np.uint8))]
    assert outputs[0].records[0]["model"]["scheduler"] == scheduler_class.__name__
    assert not np.array_equal(*(output.photos[0].pixels for output in outputs))
    assert not torch.equal(starts[0], starts[len(starts) // 2])  # the damaged picture is in the first latents


@pytest.mark.parametrize(("fusion", "tile"), [("daff", "off"), ("daff of latents", 64), ("residual alignment", 64)])
def test_layer_by_layer_off_loading_changes_no_bit(picture, fusion, tile):
    replaced = {
        "daff": {},
        "daff of latents": {"daff": tiny_daff(lq="latent", lq_channels=8)},
        "residual alignment": {"daff": None, "residual_alignment": tiny_alignment()},
    }
    xl, lq = tiny_xl(**replaced[fusion]), picture(8, 72, 3)
    options = {"tile": tile, "instruction": "remove the rain", "guidance_scale": 2.0, "num_inference_steps": 1}
    expected = xl(lq, **options)
    for name, part in xl.components.items():  # `enable_sequential_cpu_offload`, but that it refuses the CPU
        if isinstance(part, torch.nn.Module) and name not in xl._exclude_from_cpu_offload:
            accelerate.cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
    assert xl.unet.conv_in.weight.is_meta and xl.text_encoder_2.device.type == "meta"
    found = xl(lq, **options)
    assert np.array_equal(found.photos[0].pixels, expected.photos[0].pixels)
    assert found.records[0]["model"]["parts_sha256"] == expected.records[0]["model"]["parts_sha256"]


def test_off_loading_goes_with_the_widened_autoencoder(xl, picture):
    lq = picture(8, 8, 3)
    xl.to(torch.float16)
    expected = pixels_of(xl, lq)
    xl.enable_model_cpu_offload(device="cpu")
    assert np.array_equal(pixels_of(xl, lq), expected)


def test_slices_and_tiles_of_the_autoencoder_change_little(xl, picture):
    lq, sides = picture(16, 80, 3), set()
    expected = pixels_of(xl, lq, tile="off")
    xl.vae.enable_slicing()
    assert np.array_equal(pixels_of(xl, lq, tile="off"), expected)
    xl.enable_attention_slicing("max")
    assert np.abs(pixels_of(xl, lq, tile="off") - expected).max() <= 1
    xl.vae.decoder.conv_in.register_forward_pre_hook(lambda module, inputs: sides.add(inputs[0].shape[-1]))
    xl.vae.enable_tiling()  # 64 pixels, the size that it was trained with
    tiled = xl(lq, tile="off", **STEPS)
    assert max(sides) == 20 and 16 in sides  # measured in the whole, decoded in tiles
    assert tiled.records[0]["model"]["vae_tile"] == 64


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_in_place", [False, True])
def test_a_compiled_unet_restores_the_same(xl, picture, is_in_place):
    pictures = [picture(8, 8, 3), picture(8, 8, 3, seed=1)]
    expected = [pixels_of(xl, lq, instruction="remove the rain") for lq in pictures]
    if is_in_place:
        xl.unet.compile(fullgraph=True, backend="aot_eager")
    else:
        xl.unet = torch.compile(xl.unet, fullgraph=True, backend="aot_eager")
    for lq, plain in zip(pictures, expected, strict=True):
        assert np.abs(pixels_of(xl, lq, instruction="remove the rain") - plain).max() <= 1
    xl.detach()  # the compiled graph must not go on with the fusion, or the picture, of before
    assert np.abs(pixels_of(xl, pictures[1], instruction="remove the rain") - expected[1]).max() <= 1


def test_detaching_gives_the_unet_back_as_it_was(xl, picture):
    def state():
        hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_forward_hooks_with_kwargs")
        return [{name: dict(getattr(module, name)) for name in hooks} for module in xl.unet.modules()]

    processors, before, settings = dict(xl.unet.attn_processors), state(), dict(xl.unet.config)
    pixels_of(xl, picture(8, 8, 3))
    assert state() != before and xl.unet.attn_processors != processors
    xl.detach()
    assert state() == before and xl.unet.attn_processors == processors and dict(xl.unet.config) == settings


@pytest.mark.parametrize("place", ["unet", "vae"])
def test_a_failure_leaves_nothing_of_the_picture_behind(xl, picture, place):
    def fail(module, inputs):
        raise RuntimeError("power cut")

    module = xl.unet.mid_block if place == "unet" else xl.vae.decoder.mid_block
    hook = module.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="power cut"):
        xl(picture(8, 8, 3), **STEPS)
    slot = xl._connection.attachment.slot
    assert slot.prepared is slot.timestep is slot.aligned is None
    hook.remove()
    xl(picture(8, 8, 3), **STEPS)
