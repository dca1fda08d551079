import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from ldrestore.errors import InputError, UnknownNameError, WeightsError
from ldrestore.images.photo import Photo
from ldrestore.images.working_copy import working_copy
from ldrestore.pipelines import pipeline_stable_restore
from ldrestore.systems import picture_sampling
from tests.adapters.conftest import tiny_unet
from tests.tiny_stable import tiny_adapters, tiny_stable

STEPS = {"num_inference_steps": 2}


@pytest.fixture
def stable():
    return tiny_stable()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 1), (17, 9, 4), (9, 12, 2)])
def test_every_picture_keeps_size_depth_channels_and_alpha(stable, picture, shape, dtype):
    lq = picture(*shape, dtype=dtype)
    photo = stable(lq, output_type="photo", **STEPS).images[0]
    assert photo.pixels.shape == (*shape[:2], 1 if shape[2] < 3 else 3)
    assert photo.pixels.dtype == dtype
    assert photo.alpha is None if shape[2] % 2 else np.array_equal(photo.alpha, lq[..., -1])


def test_company_and_order_change_nothing_and_the_seed_does(stable, picture):
    pictures = [picture(9, 7, 3), picture(12, 5, 1, seed=1), picture(8, 8, 4, dtype=np.uint16, seed=2)]
    together = stable(pictures, seed=3, **STEPS)
    turned = stable(pictures[::-1], seed=3, **STEPS)
    for index, alone in enumerate(pictures):
        single = stable(alone, seed=3, **STEPS)
        assert np.array_equal(single.photos[0].pixels, together.photos[index].pixels)
        assert single.records[0] == together.records[index] == turned.records[2 - index]
    other = stable(pictures[0], seed=4, **STEPS)
    assert not np.array_equal(other.photos[0].pixels, together.photos[0].pixels)
    assert other.records[0]["options"]["seed"] == 4


def test_a_generator_gives_the_seed_that_the_record_tells(stable, picture):
    lq = picture(8, 8, 3)
    drawn = stable(lq, generator=torch.Generator().manual_seed(5), **STEPS)
    seed = drawn.records[0]["options"]["seed"]
    assert stable(lq, seed=seed, **STEPS).records == drawn.records
    with pytest.raises(InputError, match="seed and generator"):
        stable(lq, seed=1, generator=torch.Generator(), **STEPS)


def test_without_strength_the_picture_only_goes_through_the_autoencoder(stable, picture):
    lq = picture(16, 16, 3, dtype=np.float32)
    found = stable(lq, strength=0.0, refine=False, output_type="np").images[0]
    rgb = torch.from_numpy(lq).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = stable.vae.decode(stable.vae.encode(rgb * 2 - 1).latent_dist.mode()).sample / 2 + 0.5
    assert np.abs(found - expected[0].permute(1, 2, 0).clamp(0, 1).numpy()).max() < 1e-5


def test_strength_says_how_many_steps_are_gone_through(stable, picture):
    numbers = []
    lq = picture(8, 8, 3)
    for strength in (0.0, 0.5, 1.0):
        looks = []

        def count(pipeline, index, timestep, values, looks=looks):
            looks.append(index)
            return values

        stable(lq, num_inference_steps=4, strength=strength, callback_on_step_end=count)
        numbers.append(len(looks))
    assert numbers == [0, 2, 4]


def test_what_a_callback_gives_back_goes_on(stable, picture):
    lq, looks = picture(8, 8, 3), []

    def zero(pipeline, index, timestep, values):
        assert pipeline is stable
        looks.append((index, int(timestep), tuple(values["latents"].shape)))
        return {"latents": torch.zeros_like(values["latents"])}

    zeroed = stable(lq, refine=False, callback_on_step_end=zero, output_type="np", **STEPS).images[0]
    assert looks == [(0, 501, (1, 4, 2, 2)), (1, 1, (1, 4, 2, 2))]
    with torch.no_grad():
        expected = stable.vae.decode(torch.zeros(1, 4, 2, 2)).sample[0] / 2 + 0.5
    assert np.abs(zeroed - expected.permute(1, 2, 0).clamp(0, 1).numpy()).max() < 1e-2


def test_given_degradations_take_the_place_of_the_prediction(stable, picture):
    lq = picture(8, 8, 3)
    looks = stable(lq, **STEPS)
    assert looks.degradations[0].names == stable.predictor.names
    assert sum(looks.degradations[0].probabilities) == pytest.approx(1, abs=1e-5)
    assert looks.degradations[0][stable.predictor.names[1]] == looks.degradations[0].probabilities[1]
    texts = [stable(lq, degradations=given, **STEPS) for given in ("rain=0.25,haze=0.75", {"haze": 0.75, "rain": 0.25})]
    assert texts[0].records == texts[1].records
    assert texts[0].degradations[0].probabilities == (0.25, 0.75, 0.0)
    assert texts[0].records[0]["options"]["degradations"] == {"haze": 0.75, "rain": 0.25}
    both = stable([lq, lq], degradations=["rain", None], **STEPS)
    assert both.degradations[0].probabilities == (1.0, 0.0, 0.0)
    assert both.records[1] == looks.records[0]
    assert both.records[0]["output_sha256"] != looks.records[0]["output_sha256"]


def test_what_does_not_depend_on_the_timestep_is_computed_once(stable, picture):
    counts = {}
    for name in ("image_encoder", "predictor", "cm_adapter", "unet", "ir_adapter"):

        def count(module, inputs, name=name):
            counts[name] = counts.get(name, 0) + 1

        getattr(stable, name).register_forward_pre_hook(count)
    stable(picture(8, 8, 3), num_inference_steps=4)
    assert counts == {"image_encoder": 1, "predictor": 1, "cm_adapter": 1, "unet": 4, "ir_adapter": 4}


def test_tiles_meet_at_each_step_and_share_one_noise_field(stable, picture, monkeypatch):
    lq = picture(16, 96, 3, dtype=np.float32)
    shapes = []
    draw = picture_sampling.draw_noise
    monkeypatch.setattr(
        picture_sampling, "draw_noise", lambda x, **options: shapes.append(tuple(x.shape)) or draw(x, **options)
    )
    whole = stable(lq, tile="off", output_type="np", **STEPS)
    tiled = stable(lq, tile=64, output_type="np", **STEPS)
    other = stable(lq, tile=64, seed=1, output_type="np", **STEPS)
    assert tiled.records[0]["tile_plan"]["tile"] == 64
    assert set(shapes) == {(1, 4, 4, 24)}
    near = np.abs(whole.images[0] - tiled.images[0]).mean()
    assert 0 < near < 0.5 * np.abs(other.images[0] - tiled.images[0]).mean()


def test_a_tile_larger_than_the_picture_is_the_whole(stable, picture):
    lq = picture(20, 30, 3)
    whole, tiled = (stable(lq, tile=tile, **STEPS).photos[0].pixels for tile in ("off", 64))
    assert np.array_equal(whole, tiled)


def test_the_plan_follows_from_size_and_budget(stable, picture):
    lq = picture(136, 136, 3)
    options = {"strength": 0.0, "refine": False}
    assert stable(lq, **options).records[0]["tile_plan"]["tile"] == 0
    assert stable(lq, memory_gb=0.0037, **options).records[0]["tile_plan"]["tile"] == 128


def refuse_more_than(cells):
    def refuse(module, arguments):
        if arguments[0][:1, 0].numel() * len(arguments[0]) > cells:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return refuse


def shaded(height, width):
    """The left half dark, the right one light, and grain."""
    grain = np.random.default_rng(0).random((height, width, 3)) * 0.1
    return (grain + np.where(np.arange(width) < width / 2, 0.05, 0.85)[:, None]).astype(np.float32)


def test_a_unet_that_runs_out_of_memory_goes_on_with_smaller_tiles(stable, caplog):
    """Its pixels stay those of the whole, nearer than with tiles that measure for themselves."""
    lq, options = shaded(132, 200), {"num_inference_steps": 1, "refine": False, "output_type": "np"}
    whole = stable(lq, tile="off", **options).images[0]
    stable.unet.register_forward_pre_hook(refuse_more_than(32 * 32))
    with caplog.at_level(logging.WARNING):
        stepped = stable(lq, tile="off", **options)
    assert "memory ran out" in caplog.text
    plan = stepped.records[0]["tile_plan"]
    found = (plan["tile"], plan["unet_tile"], plan["decoder_tile"], plan["steps_down"])
    assert found == (0, 128, None, 2)  # the autoencoder had enough
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ldrestore.tiling.cut_maps.shared_statistics", lambda *_, **__: nullcontext())
        by_themselves = stable(lq, tile="off", **options).images[0]
    errors = [np.abs(result - whole).mean() for result in (stepped.images[0], by_themselves)]
    assert errors[0] < 0.8 * errors[1] and errors[0] < 0.2 / 255, errors
    assert np.quantile(np.abs(stepped.images[0] - whole), 0.99) < 2 / 255


def test_a_unet_takes_the_whole_where_the_autoencoder_needs_tiles(stable, picture):
    looks = []
    stable.unet.register_forward_pre_hook(lambda module, arguments: looks.append(tuple(arguments[0].shape)))
    plan = stable(picture(40, 140, 3), tile=64, **STEPS).records[0]["tile_plan"]
    assert looks == [(1, 4, 10, 35)] * 2
    assert (plan["tile"], plan["unet_tile"], plan["steps_down"]) == (64, 0, 0)


def test_memory_that_ends_while_decoding_does_not_sample_anew(stable, picture, caplog):
    passes = []
    stable.unet.register_forward_pre_hook(lambda *_: passes.append(1))
    stable.vae.decoder.mid_block.register_forward_pre_hook(refuse_more_than(32 * 32))
    with caplog.at_level(logging.WARNING):
        plan = stable(picture(132, 140, 3), tile="off", num_inference_steps=2).records[0]["tile_plan"]
    assert len(passes) == 2 and "memory ran out" in caplog.text
    assert (plan["tile"], plan["unet_tile"], plan["decoder_tile"], plan["steps_down"]) == (0, None, 128, 1)


def test_memory_that_ends_in_a_step_repeats_that_step_alone(stable, picture):
    sizes = []

    def refuse_the_second(module, arguments):
        sizes.append(arguments[0].shape[-2] * arguments[0].shape[-1])
        if len(sizes) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    stable.unet.register_forward_pre_hook(refuse_the_second)
    record = stable(picture(132, 140, 3), tile="off", num_inference_steps=2).records[0]
    assert sizes[:2] == [33 * 35] * 2 and len(sizes) > 3  # one look and the tiles of the second step
    assert all(size <= 32 * 32 for size in sizes[2:])
    assert (record["tile_plan"]["unet_tile"], record["tile_plan"]["steps_down"]) == (128, 1)


@pytest.mark.parametrize("place", ["unet", "vae"])
def test_a_failure_leaves_neither_features_nor_modules_behind(stable, picture, monkeypatch, place):
    freed, before = [], stable(picture(16, 16, 3), **STEPS).photos[0].pixels
    monkeypatch.setattr(stable, "maybe_free_model_hooks", lambda: freed.append(1))

    def fail(module, arguments):
        raise RuntimeError("something else")

    module = stable.unet.conv_out if place == "unet" else stable.vae.decoder.conv_out
    hook = module.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="something else"):
        stable(picture(16, 16, 3), **STEPS)
    assert freed and stable._connection.attachment.slot.features is None
    hook.remove()
    assert np.array_equal(stable(picture(16, 16, 3), **STEPS).photos[0].pixels, before)


def test_threads_take_turns(stable, picture):
    pictures = [picture(16, 24, 3, seed=seed) for seed in range(4)]
    expected = [stable(one, **STEPS).photos[0].pixels for one in pictures]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda one: stable(one, **STEPS).photos[0].pixels, pictures))
    assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_fidelity_goes_from_the_result_to_the_input_itself(stable, picture, dtype):
    lq = picture(20, 20, 3, dtype=dtype)
    results = [stable(lq, fidelity=share, **STEPS).photos[0].pixels for share in (0, 0.3, 0.6, 1)]
    errors = [np.square(result.astype(float) - lq).mean() for result in results]
    assert errors == sorted(errors, reverse=True) and len(set(errors)) == len(errors)
    assert np.array_equal(results[-1], lq)


def test_protected_pixels_scale_and_colour_fixes(stable, picture):
    lq = picture(12, 10, 4)
    mask = np.zeros((12, 10), np.uint8)
    mask[:, :4] = 255
    restored = stable(lq, **STEPS).photos[0].pixels
    protected = stable(lq, protect=mask, **STEPS).photos[0].pixels
    assert np.array_equal(protected[:, :4], lq[:, :4, :3]) and np.array_equal(protected[:, 4:], restored[:, 4:])
    large = stable(lq, scale=2, **STEPS).photos[0]
    assert large.pixels.shape == (24, 20, 3) and large.alpha.shape == (24, 20)
    for fix in ("wavelet", "adain"):
        fixed = stable(lq, colour_fix=fix, **STEPS).photos[0].pixels
        assert (
            np.abs(fixed.mean((0, 1)) - lq[..., :3].mean((0, 1))).sum()
            < np.abs(restored.mean((0, 1)) - lq[..., :3].mean((0, 1))).sum()
        )


@pytest.mark.parametrize("colour_fix", ["off", "wavelet", "adain"])
def test_a_grey_picture_given_as_three_channels_comes_back_without_chroma(stable, picture, colour_fix):
    grey = picture(16, 16, 1)
    restored = stable(grey.repeat(3, axis=2), colour_fix=colour_fix, **STEPS).photos[0].pixels
    assert restored.shape == (16, 16, 3) and (restored == restored[..., :1]).all()
    assert not np.array_equal(restored[..., :1], grey)


def test_hidden_colours_change_nothing_that_is_seen(stable, picture):
    looks = []
    for hidden in (0, 255):
        lq = picture(16, 16, 4)
        lq[..., 3] = 255
        lq[4:12, 4:12] = (hidden, hidden, hidden, 0)
        photo = stable(lq, **STEPS).photos[0]
        looks.append(photo.pixels[photo.alpha > 0])
        assert (photo.pixels[4:12, 4:12] == hidden).all()
    assert np.array_equal(*looks)


def test_a_picture_is_enlarged_once(stable, picture, monkeypatch):
    enlarged = []

    def counted(photo, *, scale):
        enlarged.append(photo)
        return working_copy(photo, scale=scale)

    monkeypatch.setattr("ldrestore.pipelines.sampled_restoration.working_copy", counted)
    stable([picture(8, 8, 3), picture(8, 8, 1)], scale=2, **STEPS)
    assert len(enlarged) == 2


def test_the_decoder_is_refined_if_there_is_one_who_does(stable, picture):
    lq = picture(16, 16, 3)
    refined, plain = stable(lq, **STEPS), stable(lq, refine=False, **STEPS)
    assert refined.records[0]["options"]["refine"] and not plain.records[0]["options"]["refine"]
    assert not np.array_equal(refined.photos[0].pixels, plain.photos[0].pixels)
    without = tiny_stable(drm=None)(lq, **STEPS)
    assert np.array_equal(without.photos[0].pixels, plain.photos[0].pixels)
    assert not without.records[0]["options"]["refine"]


def test_branches_may_be_left_out(stable, picture):
    lq = picture(8, 8, 3)
    no_text, no_words = {"cm_adapter": None, "textual_prompts": None}, {"textual_prompts": None}
    no_visual = {"ir_adapter": None, "injection": None}
    hashes = [
        tiny_stable(**left_out)(lq, **STEPS).records[0]["output_sha256"]
        for left_out in ({}, no_words, no_text, no_visual, no_text | no_visual)
    ]
    assert len(set(hashes)) == 5


def test_the_self_ensemble_is_the_mean_of_eight(stable, picture):
    lq, looks = picture(8, 12, 3, dtype=np.float32), []
    stable.unet.register_forward_pre_hook(lambda module, inputs: looks.append(tuple(inputs[0].shape[-2:])))
    mean = stable(lq, self_ensemble=True, output_type="np", **STEPS).images[0]
    assert looks.count((2, 3)) == looks.count((3, 2)) == 8
    assert np.abs(mean - stable(lq, output_type="np", **STEPS).images[0]).max() > 1e-4


def test_records_tell_weights_options_and_machine(stable, picture):
    lq = picture(6, 6, 3)
    first = stable(lq, **STEPS).records[0]
    assert json.loads(json.dumps(first)) == first
    with torch.no_grad():
        stable.injection.mid_block[0].mlp_beta.bias.add_(0.1)
    changed = stable(lq, **STEPS).records[0]
    parts, new_parts = first["model"]["parts_sha256"], changed["model"]["parts_sha256"]
    assert [name for name in parts if parts[name] != new_parts[name]] == ["injection"]
    assert changed["output_sha256"] != first["output_sha256"]


def test_a_record_replays(stable, picture):
    lq = picture(8, 8, 3)
    given_options = {
        "degradations": "rain=0.7,haze=0.3",
        "seed": 4,
        "strength": 0.5,
        "refine": False,
        "colour_fix": "adain",
    }
    first = stable(lq, num_inference_steps=4, **given_options)
    assert first.records[0]["packages"].keys() >= {"torch", "diffusers", "transformers"}
    replayed_options = {key: value for key, value in first.records[0]["options"].items() if not key.endswith("_sha256")}
    assert stable(lq, **replayed_options).records == first.records


def test_output_types(stable, picture):
    lq = picture(6, 5, 4)
    images, photos = stable(lq, output_type="pt", return_dict=False, **STEPS)
    assert images[0].shape == (4, 6, 5) and isinstance(photos[0], Photo)
    with pytest.raises(UnknownNameError, match="did you mean 'pil'"):
        stable(lq, output_type="pill")


def test_half_precision_is_near_and_an_overflow_is_computed_again(stable, picture, caplog):
    lq = picture(16, 16, 3)
    expected = stable(lq, **STEPS).photos[0].pixels.astype(float)
    stable.to(torch.bfloat16)
    half = stable(lq, **STEPS)
    assert half.records[0]["runtime"]["dtype"] == "bfloat16"
    assert np.abs(half.photos[0].pixels - expected).mean() < 12
    stable.to(torch.float32)
    with torch.no_grad():
        stable.vae.decoder.conv_in.bias.fill_(1e5)  # beyond 65504
    expected = stable(lq, **STEPS).photos[0].pixels.astype(float)
    stable.to(torch.float16)
    stable.vae.decoder.conv_in.bias.data.fill_(65000)
    stable.vae.decoder.conv_in.weight.data.mul_(1000)
    before = {name: value.clone() for name, value in stable.vae.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        restored = stable(lq, **STEPS).photos[0].pixels
    assert "computing again in float32" in caplog.text
    assert np.isfinite(restored).all()
    after = stable.vae.state_dict()
    assert all(torch.equal(after[name], before[name]) and after[name].dtype == torch.float16 for name in before)


def test_undefined_weights_are_refused(stable, picture):
    with torch.no_grad():
        stable.unet.conv_in.bias.fill_(torch.nan)
    with pytest.raises(WeightsError, match="damaged"):
        stable(picture(8, 8, 3), **STEPS)


def test_the_unet_is_attached_once_and_left_as_it_was(stable, picture):
    lq = picture(8, 8, 3)
    keys = list(stable.unet.state_dict())
    attached = stable(lq, **STEPS).records
    stable.detach()
    assert list(stable.unet.state_dict()) == keys
    assert not any(module._forward_hooks for module in stable.unet.modules())
    assert stable(lq, **STEPS).records == attached


def test_models_off_load_in_a_row_and_the_tower_first(stable, picture, monkeypatch):
    lq = picture(8, 8, 3)
    expected = stable(lq, degradations="rain", **STEPS)
    stable.enable_model_cpu_offload(device="cpu")
    sent_back = []
    for hook in stable._all_hooks:
        monkeypatch.setattr(hook, "offload", lambda hook=hook: sent_back.append(hook.model))
    monkeypatch.setattr(stable, "maybe_free_model_hooks", lambda: None)
    found = stable(lq, degradations="rain", **STEPS)
    assert np.array_equal(found.photos[0].pixels, expected.photos[0].pixels)
    assert any(model is stable.image_encoder for model in sent_back)
    row = pipeline_stable_restore.StableRestorePipeline.model_cpu_offload_seq.split("->")
    resting = [*row, *stable._exclude_from_cpu_offload]
    assert sorted(resting) == sorted(name for name, part in stable.components.items() if hasattr(part, "parameters"))


def test_a_backend_of_attention_is_really_called(stable, picture, recorded_backend):
    stable.set_attention_backend(recorded_backend.name)
    stable(picture(8, 8, 3), num_inference_steps=1)
    assert recorded_backend.calls > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degradations": "rian"}, "did you mean 'rain'"),
        ({"degradations": "rain=0.5,haze=0.498"}, "sum to 1"),
        ({"degradations": ["rain", "haze"]}, "each of the 1 pictures"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"strength": -0.1}, "strength"),
        ({"scale": 0}, "scale"),
        ({"fidelity": 2}, "fidelity"),
        ({"colour_fix": "wavelets"}, "did you mean 'wavelet'"),
        ({"tile": 100}, "multiple of 64"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused(stable, picture, options, message):
    with pytest.raises(InputError, match=message):
        stable(picture(8, 8, 3), **(STEPS | options))


def test_parts_that_make_no_pipeline_are_refused():
    with pytest.raises(WeightsError, match="needs predictor"):
        tiny_stable(predictor=None)
    with pytest.raises(WeightsError, match="work together"):
        tiny_stable(injection=None)
    with pytest.raises(WeightsError, match="textual_prompts stand beside"):
        tiny_stable(cm_adapter=None)
    with pytest.raises(WeightsError, match="is an SDXL"):
        tiny_stable(unet=tiny_unet(cross_attention_dim=2048))
    with pytest.raises(WeightsError, match="as those for inpainting"):
        tiny_stable(unet=tiny_unet(in_channels=9))
    with pytest.raises(WeightsError, match="do not fit"):
        tiny_stable(unet=tiny_unet(cross_attention_dim=16))
    wider = tiny_unet(block_out_channels=(8, 24))
    with pytest.raises(WeightsError, match="injection and unet do not fit"):
        tiny_stable(injection=tiny_adapters(wider)["injection"])
    predictor = tiny_adapters(tiny_unet())["predictor"]
    predictor.grow(["snow"])
    with pytest.raises(WeightsError, match="the predictor rain, haze, jpeg, snow"):
        tiny_stable(predictor=predictor)
