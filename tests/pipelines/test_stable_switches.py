"""What users of diffusers switch on a pipeline keeps working on ours."""

from types import SimpleNamespace

import accelerate
import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from diffusers.models import attention, attention_dispatch, attention_processor
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from diffusers.models.attention_processor import Attention
from torch.nn import functional as F

from tests.adapters.conftest import tiny_unet
from tests.tiny_stable import tiny_stable

STEPS = {"num_inference_steps": 2}


@pytest.fixture
def stable():
    return tiny_stable()


def pixels_of(pipeline, lq, **options):
    return pipeline(lq, **(STEPS | options)).photos[0].pixels.astype(int)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "scheduler_class",
    [
        DDIMScheduler,
        DPMSolverMultistepScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        LMSDiscreteScheduler,
        PNDMScheduler,
        UniPCMultistepScheduler,
    ],
)
def test_any_scheduler_takes_the_place(stable, picture, scheduler_class, prediction_type):
    lq = picture(8, 8, 3)
    before = stable(lq, **STEPS)
    options = {"skip_prk_steps": True} if scheduler_class is PNDMScheduler else {}
    options |= {"prediction_type": prediction_type}
    stable.scheduler = scheduler_class.from_config(stable.scheduler.config, **options)
    after, again = stable(lq, **STEPS), stable(lq, **STEPS)
    assert after.records == again.records
    assert after.records[0]["model"]["scheduler"] == scheduler_class.__name__
    is_same = (scheduler_class, prediction_type) == (DDIMScheduler, "epsilon")
    assert np.array_equal(after.photos[0].pixels, before.photos[0].pixels) == is_same


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_in_place", [False, True])
def test_a_compiled_unet_restores_the_same(stable, picture, is_in_place):
    pictures = [picture(8, 8, 3), picture(8, 8, 3, seed=1)]
    expected = [pixels_of(stable, lq) for lq in pictures]
    if is_in_place:
        stable.unet.compile(fullgraph=True, backend="aot_eager")
    else:
        stable.unet = torch.compile(stable.unet, fullgraph=True, backend="aot_eager")
    for lq, plain in zip(pictures, expected, strict=True):
        assert np.abs(pixels_of(stable, lq) - plain).max() <= 1
    stable.detach()  # the compiled graph must not go on with the layers, or the features, of before
    assert np.abs(pixels_of(stable, pictures[1]) - expected[1]).max() <= 1


def test_models_are_off_loaded_in_a_row_and_the_tower_before_the_unet_comes(stable, picture, monkeypatch):
    lq, events = picture(8, 8, 3), []
    expected = pixels_of(stable, lq)
    stable.enable_model_cpu_offload(device="cpu")
    tower = next(hook for hook in stable._all_hooks if hook.model is stable.image_encoder)
    monkeypatch.setattr(tower, "offload", lambda: events.append("tower leaves"))
    stable.unet.register_forward_pre_hook(lambda module, inputs: events.append("unet runs"))
    assert np.array_equal(pixels_of(stable, lq), expected)
    assert events.index("tower leaves") < events.index("unet runs")


def test_layer_by_layer_off_loading_changes_no_bit(stable, picture):
    lq = picture(8, 8, 3)
    expected = stable(lq, **STEPS)
    for name, part in stable.components.items():  # `enable_sequential_cpu_offload`, but that it refuses the CPU
        if isinstance(part, torch.nn.Module) and name not in stable._exclude_from_cpu_offload:
            accelerate.cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)
    assert stable.unet.conv_in.weight.is_meta and not stable.injection.mid_block[0].mlp_beta.weight.is_meta
    found = stable(lq, **STEPS)
    assert np.array_equal(found.photos[0].pixels, expected.photos[0].pixels)
    assert found.records[0]["model"]["parts_sha256"] == expected.records[0]["model"]["parts_sha256"]


def test_slices_of_attention_and_autoencoder_change_nothing(stable, picture):
    lq = picture(8, 8, 3)
    expected = pixels_of(stable, lq)
    stable.vae.enable_slicing()
    assert np.array_equal(pixels_of(stable, lq), expected)
    stable.enable_attention_slicing("max")
    assert np.abs(pixels_of(stable, lq) - expected).max() <= 1


def test_the_autoencoders_own_tiles_are_taken_and_told(stable, picture):
    lq, sides = picture(16, 80, 3), set()
    stable.vae.decoder.conv_in.register_forward_pre_hook(lambda module, inputs: sides.add(inputs[0].shape[-1]))
    plain = stable(lq, tile="off", refine=False, num_inference_steps=1)
    assert sides == {20} and plain.records[0]["model"]["vae_tile"] == 0
    stable.vae.enable_tiling()  # 64 pixels, the size that it was trained with
    tiled = stable(lq, tile="off", refine=False, num_inference_steps=1)
    assert max(sides - {20}) == 16 and tiled.records[0]["model"]["vae_tile"] == 64
    assert tiled.records[0]["tile_plan"]["tile"] == 0
    stable.vae.disable_tiling()
    assert stable(lq, tile="off", refine=False, num_inference_steps=1).records == plain.records


@pytest.fixture
def xformers(monkeypatch):
    """xFormers as diffusers finds it, with a GPU; the list of the attentions that go through it."""
    calls = []

    def attend(query, key, value, attn_bias=None, op=None, scale=None):  # (B * heads, L, D)
        calls.append(tuple(query.shape))
        return F.scaled_dot_product_attention(query, key, value, attn_mask=attn_bias, scale=scale)

    def attend_ours(query, key, value, **options):  # (B, L, heads, D)
        calls.append(tuple(query.shape))
        return F.scaled_dot_product_attention(*(one.transpose(1, 2) for one in (query, key, value))).transpose(1, 2)

    fake, draw = SimpleNamespace(ops=SimpleNamespace(memory_efficient_attention=attend)), torch.randn
    monkeypatch.setattr(attention_processor, "xformers", fake)
    monkeypatch.setattr(attention, "xops", fake)
    monkeypatch.setattr(attention_processor, "is_xformers_available", lambda: True)
    monkeypatch.setattr(attention, "is_xformers_available", lambda: True)
    monkeypatch.setitem(_AttentionBackendRegistry._backends, AttentionBackendName.XFORMERS, attend_ours)

    def switch(pipeline, is_on):
        with monkeypatch.context() as patched:
            patched.setattr(torch.cuda, "is_available", lambda: True)
            patched.setattr(torch, "randn", lambda *shape, device=None, **options: draw(*shape, **options))
            pipeline.set_use_memory_efficient_attention_xformers(is_on)
        calls.clear()
        return calls

    return switch


@pytest.mark.parametrize("is_attached", [False, True])
def test_xformers_attends_beside_the_attached_layers(stable, picture, xformers, recorded_backend, is_attached):
    lq = picture(8, 8, 3)
    expected = pixels_of(stable, lq)
    if not is_attached:
        stable.detach()
    calls = xformers(stable, True)
    assert np.abs(pixels_of(stable, lq) - expected).max() <= 1
    assert {len(shape) for shape in calls} == {3, 4}  # the U-Net's and the autoencoder's, and ours
    xformers(stable, False)
    stable.set_attention_backend(recorded_backend.name)  # reaches the U-Net's again
    assert np.abs(pixels_of(stable, lq) - expected).max() <= 1
    num_attentions = sum(isinstance(module, Attention) for module in stable.unet.modules())
    assert recorded_backend.calls > STEPS["num_inference_steps"] * num_attentions


def test_a_chosen_backend_survives_detaching(stable, picture, recorded_backend):
    stable.set_attention_backend(recorded_backend.name)
    stable(picture(8, 8, 3), **STEPS)
    calls = recorded_backend.calls
    stable.detach()
    stable(picture(8, 8, 3), **STEPS)
    assert recorded_backend.calls == 2 * calls > 0


@pytest.mark.parametrize(
    ("backend", "error", "message"),
    [("no_such_backend", ValueError, "no_such_backend"), ("flash", RuntimeError, "missing package")],
)
def test_a_backend_that_cannot_be_had_changes_nothing(
    stable, picture, recorded_backend, monkeypatch, backend, error, message
):
    monkeypatch.setattr(attention_dispatch, "_CAN_USE_FLASH_ATTN", False)
    stable.set_attention_backend(recorded_backend.name)
    stable(picture(8, 8, 3), **STEPS)
    calls = recorded_backend.calls
    with pytest.raises(error, match=message):
        stable.set_attention_backend(backend)
    stable(picture(8, 8, 3), **STEPS)
    assert recorded_backend.calls == 2 * calls > 0


def test_a_unet_that_is_replaced_gets_its_own_processors_back(picture, recorded_backend):
    stable = tiny_stable(ir_adapter=None, injection=None, drm=None, cm_adapter=None, textual_prompts=None)
    old, before = stable.unet, dict(stable.unet.attn_processors)
    stable.set_attention_backend(recorded_backend.name)
    assert old.attn_processors != before
    stable.unet = tiny_unet()
    stable(picture(8, 8, 3), **STEPS)
    assert old.attn_processors == before
    assert recorded_backend.calls > 0


def test_detaching_gives_a_bare_unet_its_own_processors_back(picture, recorded_backend):
    stable = tiny_stable(ir_adapter=None, injection=None, drm=None, cm_adapter=None, textual_prompts=None)
    before = dict(stable.unet.attn_processors)
    stable.set_attention_backend(recorded_backend.name)
    assert stable.unet.attn_processors != before
    stable.detach()
    assert stable.unet.attn_processors == before
    stable(picture(8, 8, 3), **STEPS)
    assert recorded_backend.calls > 0


def test_a_backend_reaches_the_unet_without_injection_layers_too(picture, recorded_backend):
    stable = tiny_stable(ir_adapter=None, injection=None, drm=None, cm_adapter=None, textual_prompts=None)
    stable.set_attention_backend(recorded_backend.name)
    stable(picture(8, 8, 3), **STEPS)
    num_attentions = sum(isinstance(module, Attention) for module in stable.unet.modules())
    assert recorded_backend.calls == STEPS["num_inference_steps"] * num_attentions
