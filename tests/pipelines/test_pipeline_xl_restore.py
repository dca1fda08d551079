import json
import logging

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, UniPCMultistepScheduler

from ldrestore.errors import InputError, UnknownNameError, WeightsError
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from tests import tiny_stable
from tests.tiny_xl import tiny_xl_base
from tests.tiny_xl_pipeline import tiny_alignment, tiny_xl

STEPS = {"num_inference_steps": 2}


@pytest.fixture
def xl():
    return tiny_xl()


def pixels_of(pipeline, lq, **options):
    return pipeline(lq, **{**STEPS, **options}).photos[0].pixels


@pytest.mark.parametrize(("shape", "dtype"), [((1, 1, 3), np.uint8), ((7, 5, 1), np.uint16), ((9, 12, 2), np.float32)])
def test_every_picture_keeps_size_depth_channels_and_alpha(xl, picture, shape, dtype):
    lq = picture(*shape, dtype=dtype)
    photo = xl(lq, output_type="photo", **STEPS).images[0]
    assert photo.pixels.shape == (*shape[:2], 1 if shape[2] < 3 else 3) and photo.pixels.dtype == dtype
    assert photo.alpha is None if shape[2] % 2 else np.array_equal(photo.alpha, lq[..., -1])


def test_company_and_order_change_nothing_and_seed_and_texts_do(xl, picture):
    pictures = [picture(9, 7, 3), picture(12, 5, 1, seed=1)]
    tasks = ["remove the rain", None]
    together = xl(pictures, seed=3, instruction=tasks, **STEPS)
    turned = xl(pictures[::-1], seed=3, instruction=tasks[::-1], **STEPS)
    assert together.records == turned.records[::-1]
    alone = xl(pictures[0], seed=3, instruction="remove the rain", **STEPS)
    assert alone.records[0] == together.records[0]
    others = [{"seed": 4}, {"instruction": "remove the haze"}, {"instruction": None}, {"prompt": "a house"}]
    results = [pixels_of(xl, pictures[0], **{"seed": 3, "instruction": tasks[0], **other}) for other in others]
    results.append(alone.photos[0].pixels)
    assert len({result.tobytes() for result in results}) == len(results)
    assert [dict(estimate) for estimate in together.degradations] == [{}, {}]


def test_a_degradation_asks_for_its_removal(xl, picture):
    lq = picture(8, 8, 3)
    named, instructed = xl(lq, degradations="rain", **STEPS), xl(lq, instruction="remove the rain", **STEPS)
    assert np.array_equal(named.photos[0].pixels, instructed.photos[0].pixels)
    assert named.records[0]["options"]["degradations"] == {"rain": 1.0}
    assert instructed.records[0]["options"]["instruction"] == "remove the rain"
    assert not np.array_equal(named.photos[0].pixels, pixels_of(xl, lq, degradations="rain=0.5,haze=0.5"))


def test_a_task_prompt_that_is_too_long_is_cut_and_the_cut_is_shown(xl, picture, caplog):
    with caplog.at_level(logging.WARNING):
        xl(picture(8, 8, 3), instruction=" ".join(["remove", "the", "rain", "and"] * 4), num_inference_steps=1)
    assert "longer than the 10 tokens" in caplog.text and "rain and remove the rain and" in caplog.text


def test_it_starts_from_the_damaged_picture_under_noise(xl, picture):
    lq, starts = picture(8, 8, 3), []
    hook = xl.unet.register_forward_pre_hook(lambda module, inputs: starts.append(inputs[0]))
    xl(lq, num_inference_steps=1)
    bright = np.clip(lq.astype(int) + 120, 0, 255).astype(np.uint8)
    xl(bright, num_inference_steps=1)
    hook.remove()
    assert starts[0].shape == (1, 4, 2, 2) and not torch.equal(*starts)


def test_guidance_takes_two_passes_and_goes_further(xl, picture):
    lq, passes = picture(8, 8, 3), []
    xl.unet.register_forward_pre_hook(lambda module, inputs: passes.append(1))
    plain = pixels_of(xl, lq, instruction="remove the rain")
    assert len(passes) == 2
    guided = xl(lq, instruction="remove the rain", guidance_scale=5.0, **STEPS)
    assert len(passes) == 6
    assert not np.array_equal(guided.photos[0].pixels, plain)
    assert guided.records[0]["options"]["guidance_scale"] == 5.0


@pytest.mark.parametrize("scheduler", [EulerDiscreteScheduler, UniPCMultistepScheduler])
def test_other_schedulers(xl, picture, scheduler):
    lq = picture(8, 8, 3)
    before = pixels_of(xl, lq)
    xl.scheduler = scheduler.from_config(xl.scheduler.config)
    output = xl(lq, **STEPS)
    assert output.records[0]["model"]["scheduler"] == scheduler.__name__
    assert not np.array_equal(output.photos[0].pixels, before)


def test_parts_may_be_left_out_and_each_acts(picture):
    lq = picture(12, 8, 3)
    variants = [
        {},
        {"daff": None},
        {"daff": None, "residual_alignment": tiny_alignment()},
        {"daem": None},
    ]
    results = [pixels_of(tiny_xl(**left_out), lq) for left_out in variants]
    assert len({result.tobytes() for result in results}) == len(results)
    assert np.array_equal(pixels_of(tiny_xl(), lq, refine=False), results[3])


def test_tiles_fidelity_and_protection(xl, picture):
    lq = picture(16, 136, 3)
    whole, tiled = (xl(lq, tile=tile, num_inference_steps=1) for tile in ("off", 64))
    assert tiled.records[0]["tile_plan"]["tile"] == 64
    assert tiled.photos[0].pixels.shape == whole.photos[0].pixels.shape
    small = picture(12, 10, 3)
    assert np.array_equal(pixels_of(xl, small, fidelity=1.0), small)
    mask = np.zeros((12, 10), np.uint8)
    mask[:, :4] = 255
    assert np.array_equal(pixels_of(xl, small, protect=mask)[:, :4], small[:, :4])


def test_a_unet_that_runs_out_of_memory_goes_on_with_tiles(xl, picture):
    sizes = []

    def refuse(module, inputs):
        sizes.append(inputs[0].shape[-2:].numel())
        if sizes[-1] > 32 * 32:
            raise torch.OutOfMemoryError("CUDA out of memory")

    xl.unet.register_forward_pre_hook(refuse)
    plan = xl(picture(132, 140, 3), tile="off", refine=False, num_inference_steps=1).records[0]["tile_plan"]
    assert (plan["tile"], plan["unet_tile"], plan["steps_down"]) == (0, 128, 1)


def test_the_self_ensemble_tells_the_unet_the_turned_sizes(xl, picture):
    sizes = set()

    def keep(module, inputs, named):
        ids = named["added_cond_kwargs"]["time_ids"][0].tolist()
        sizes.add((tuple(inputs[0].shape[-2:]), tuple(ids)))

    xl.unet.register_forward_pre_hook(keep, with_kwargs=True)
    xl(picture(8, 12, 3), self_ensemble=True, num_inference_steps=1)
    assert sizes == {((2, 3), (8, 12, 0, 0, 8, 12)), ((3, 2), (12, 8, 0, 0, 12, 8))}


def test_half_precision_is_near(xl, picture):
    lq = picture(16, 16, 3)
    expected = pixels_of(xl, lq).astype(float)
    for dtype in (torch.bfloat16, torch.float16):
        xl.to(dtype)
        half = xl(lq, **STEPS)
        assert half.records[0]["runtime"]["dtype"] == str(dtype).removeprefix("torch.")
        assert np.abs(half.photos[0].pixels - expected).mean() < 12
        xl.to(torch.float32)


def test_models_off_load_in_a_row(xl, picture):
    lq = picture(8, 8, 3)
    expected = pixels_of(xl, lq, instruction="remove the rain")
    xl.enable_model_cpu_offload(device="cpu")
    assert np.array_equal(pixels_of(xl, lq, instruction="remove the rain"), expected)
    resting = [*XLRestorePipeline.model_cpu_offload_seq.split("->"), *xl._exclude_from_cpu_offload]
    named = {name for name, part in xl.components.items() if hasattr(part, "parameters")}
    assert named | {"residual_alignment"} == set(resting)


def test_the_unet_is_attached_once_and_left_as_it_was(xl, picture):
    lq, keys = picture(8, 8, 3), list(xl.unet.state_dict())
    attached = xl(lq, **STEPS).records
    xl.detach()
    assert list(xl.unet.state_dict()) == keys and not any(one._forward_hooks for one in xl.unet.modules())
    assert xl(lq, **STEPS).records == attached
    xl.register_modules(daff=None, residual_alignment=tiny_alignment())
    assert xl(lq, **STEPS).records != attached


def test_a_backend_of_attention_is_really_called(xl, picture, recorded_backend):
    xl.set_attention_backend(recorded_backend.name)
    xl(picture(8, 8, 3), num_inference_steps=1)
    assert recorded_backend.calls > 5


def test_records_replay_and_tell_the_parts(xl, picture):
    lq = picture(8, 8, 3)
    first = xl(lq, prompt="a house", degradations="rain", guidance_scale=2.0, seed=4, strength=0.5, **STEPS)
    record = first.records[0]
    assert json.loads(json.dumps(record)) == record
    assert record["degradations"] is None and {"daff", "daem", "lq_encoder"} <= set(record["model"]["parts_sha256"])
    replayed_options = {key: value for key, value in record["options"].items() if not key.endswith("_sha256")}
    assert xl(lq, **replayed_options).records == first.records


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degradations": "rian"}, "did you mean 'rain'"),
        ({"degradations": "rain", "instruction": "remove the rain"}, "both say what is to be done"),
        ({"instruction": ["a", "b"]}, "one instruction or None for each of the 1 pictures"),
        ({"prompt": 3}, "prompt must be a text"),
        ({"guidance_scale": 0.5}, "guidance_scale must be a number from 1 on"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused(xl, picture, options, message):
    with pytest.raises(InputError, match=message):
        xl(picture(8, 8, 3), **(STEPS | options))
    with pytest.raises(UnknownNameError, match="did you mean 'pil'"):
        xl(picture(8, 8, 3), output_type="pill")


def test_parts_that_make_no_pipeline_are_refused():
    with pytest.raises(WeightsError, match="needs lq_encoder"):
        tiny_xl(lq_encoder=None)
    with pytest.raises(WeightsError, match="needs tokenizer"):
        tiny_xl(tokenizer=None)
    with pytest.raises(WeightsError, match="take one place"):
        tiny_xl(residual_alignment=tiny_alignment())
    with pytest.raises(WeightsError, match="expected an SDXL"):
        tiny_xl(unet=tiny_stable.tiny_base()["unet"])
    with pytest.raises(WeightsError, match="is an SDXL, expected a Stable Diffusion"):
        tiny_stable.tiny_stable(unet=tiny_xl_base()["unet"])


def test_a_model_says_in_how_many_steps_it_samples_where_a_call_does_not(xl, picture, tmp_path):
    """It keeps that when it is saved; a model that says nothing takes 20."""
    assert xl.config["steps"] == 20
    pipeline = XLRestorePipeline(**xl.components, steps=3)
    pipeline.save_pretrained(tmp_path)
    loaded = XLRestorePipeline.from_pretrained(tmp_path)
    lq = picture(9, 7, 3)
    record = loaded(lq, seed=1).records[0]
    assert record == loaded(lq, seed=1, num_inference_steps=3).records[0]
    assert record["options"]["num_inference_steps"] == 3
    assert loaded(lq, seed=1, num_inference_steps=2).records[0]["options"]["num_inference_steps"] == 2
