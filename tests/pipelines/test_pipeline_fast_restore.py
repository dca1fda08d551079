import copy
import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ldrestore.errors import InputError, ShapeError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.images.padding import pad_to_multiple
from ldrestore.images.photo import Photo
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.restorers import load_restorer
from tests.embedded_models import embed_folder
from tests.pipelines.conftest import randomised


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 17)])
def test_every_picture_keeps_size_depth_channels_and_alpha(pipeline, picture, size, channels, dtype):
    lq = picture(*size, channels, dtype=dtype)
    photo = pipeline(lq, output_type="photo").images[0]
    assert photo.pixels.shape == (*size, 1 if channels < 3 else 3)
    assert photo.pixels.dtype == dtype
    assert photo.alpha is None if channels % 2 else np.array_equal(photo.alpha, lq[..., -1])
    assert not np.array_equal(photo.pixels, lq[..., : photo.num_channels])


def test_the_result_is_the_network_on_the_padded_picture(pipeline, picture):
    lq = picture(33, 17, 3)
    padded = pad_to_multiple(torch.from_numpy(lq).permute(2, 0, 1)[None] / 255.0, pipeline.regressor.size_multiple)
    with torch.no_grad():
        expected = pipeline.regressor(padded)[0, :, :33, :17].permute(1, 2, 0).clamp(0, 1) * 255
    assert np.abs(pipeline(lq, output_type="photo").images[0].pixels - expected.numpy()).max() <= 0.501


def test_a_grey_picture_is_the_mean_over_three_equal_channels(pipeline, picture):
    lq = picture(9, 8, 1, dtype=np.float32) * np.float32(0.2) + np.float32(0.4)
    grey = pipeline(lq, fidelity=0.8, output_type="np").images[0]  # a blend that stays inside [0, 1]
    rgb = pipeline(lq.repeat(3, axis=2), fidelity=0.8, output_type="np").images[0]
    assert not np.array_equal(grey, lq)
    assert np.abs(grey - rgb.mean(axis=2, keepdims=True)).max() < 1e-5


def test_company_and_order_change_nothing(pipeline, picture):
    pictures = [picture(9, 7, 3), picture(12, 5, 1, seed=1), picture(8, 8, 4, dtype=np.uint16, seed=2)]
    together = pipeline(pictures, output_type="photo")
    turned = pipeline(pictures[::-1], output_type="photo")
    for index, alone in enumerate(pictures):
        single = pipeline(alone, output_type="photo")
        assert np.array_equal(single.images[0].pixels, together.images[index].pixels)
        assert np.array_equal(single.images[0].pixels, turned.images[2 - index].pixels)
        assert single.records[0] == together.records[index]
    assert [dict(one) for one in together.degradations] == [{}] * 3 and together.degradations[0].ranked() == []


def test_an_estimate_is_made_of_the_whole_picture_whatever_the_tiles(picture):
    network = create_regressor("prompted_nafnet", width=4, enc_blk_nums=[1], dec_blk_nums=[1], prompt_dim=8)
    pipeline = FastRestorePipeline(regressor=randomised(network))
    pipeline.set_progress_bar_config(disable=True)
    lq = picture(64, 128, 3)
    whole = pipeline(lq)
    assert len(whole.degradations[0].probabilities) == len(pipeline.regressor.config["degradations"])
    assert whole.records[0]["degradations"] == {
        name: round(probability, 3) for name, probability in whole.degradations[0].ranked()
    }
    tiled = pipeline(lq, tile=64).degradations[0].probabilities
    assert tiled == pytest.approx(whole.degradations[0].probabilities, abs=1e-5)
    looks = []
    network.register_forward_hook(lambda _module, _args, output: looks.append(output[1][0].sigmoid()))
    turned = pipeline(lq, self_ensemble=True).degradations[0].probabilities
    torch.testing.assert_close(torch.tensor(turned), torch.stack(looks).mean(dim=0))
    assert len(looks) == 8


def test_output_types(pipeline, picture):
    lq = picture(6, 5, 4)
    photo = pipeline(lq, output_type="photo").images[0]
    as_pil, as_np, as_pt = (pipeline(lq, output_type=kind).images[0] for kind in ("pil", "np", "pt"))
    assert isinstance(photo, Photo)
    assert isinstance(as_pil, Image.Image) and as_pil.mode == "RGBA"
    assert as_np.shape == (6, 5, 4) and as_np.dtype == np.float32
    assert as_pt.shape == (4, 6, 5)
    assert np.array_equal(np.asarray(as_pil), np.rint(as_np * 255).astype(np.uint8))
    images, photos, *_ = pipeline(lq, return_dict=False)
    assert np.array_equal(np.asarray(images[0]), np.asarray(as_pil)) and isinstance(photos[0], Photo)
    with pytest.raises(UnknownNameError, match="did you mean 'pil'"):
        pipeline(lq, output_type="pill")


def test_a_saved_pipeline_restores_to_the_bit(pipeline, picture, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    index = json.loads((tmp_path / "model/model_index.json").read_text(encoding="utf-8"))
    assert index["regressor"] == ["ldrestore.regressors.nafnet", "NAFNet"]
    loaded = FastRestorePipeline.from_pretrained(tmp_path / "model")
    lq = picture(33, 17, 3, dtype=np.float32)
    assert np.array_equal(loaded(lq, output_type="np").images[0], pipeline(lq, output_type="np").images[0])


def test_a_pipeline_loaded_and_saved_again_names_no_path_of_this_disk(pipeline, picture, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    loaded = FastRestorePipeline.from_pretrained(tmp_path / "model")
    loaded.save_pretrained(tmp_path / "again")
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "again").rglob("*.json")]
    record = loaded(picture(4, 4, 3)).records[0]
    assert record["model"]["name"] == "model"
    assert str(tmp_path) not in "".join([*texts, json.dumps(record)])


def test_weights_that_do_not_fit_are_refused_rather_than_made_up(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    file = tmp_path / "model/regressor/diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({key: value for key, value in weights.items() if key != "intro.weight"}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"missing intro\.weight"):
        FastRestorePipeline.from_pretrained(tmp_path / "model")
    save_file({**weights, "extra": torch.ones(1)}, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="unexpected extra"):
        FastRestorePipeline.from_pretrained(tmp_path / "model")
    file.write_bytes(b"xx")
    with pytest.raises(WeightsError, match="no intact safetensors"):
        FastRestorePipeline.from_pretrained(tmp_path / "model")


def test_a_pickle_is_not_read_in_place_of_safetensors(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    file = tmp_path / "model/regressor/diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(WeightsUnavailableError, match="no safetensors weights"):
        FastRestorePipeline.from_pretrained(tmp_path / "model")


def test_an_unknown_network_or_option_is_refused(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "model")
    index, config = tmp_path / "model/model_index.json", tmp_path / "model/regressor/config.json"
    index_text, config_text = index.read_text(encoding="utf-8"), config.read_text(encoding="utf-8")
    config.write_text(json.dumps({**json.loads(config_text), "widht": 3}), encoding="utf-8")
    with pytest.raises(WeightsError, match="takes no widht"):
        FastRestorePipeline.from_pretrained(tmp_path / "model")
    index.write_text(index_text.replace("nafnet", "othernet"), encoding="utf-8")
    with pytest.raises(WeightsError, match=r"ldrestore\.regressors\.othernet:NAFNet, unknown to this version"):
        FastRestorePipeline.from_pretrained(tmp_path / "model")
    with pytest.raises(WeightsUnavailableError):
        FastRestorePipeline.from_pretrained(tmp_path / "absent")


def test_a_name_stands_for_the_embedded_model(pipeline, picture, tmp_path, monkeypatch):
    pipeline.save_pretrained(tmp_path / "tiny_fast")
    embed_folder(monkeypatch, tmp_path / "tiny_fast", name="tiny-fast", track="fast")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lq = picture(5, 5, 3)
    for loaded in (FastRestorePipeline.from_pretrained("tiny-fast"), load_restorer("tiny-fast", device="cpu")):
        record = loaded(lq).records[0]
        assert record["model"]["name"] == "tiny-fast"
        assert record["output_sha256"] == pipeline(lq).records[0]["output_sha256"]


def test_a_filled_cache_of_the_hub_works_offline(pipeline, picture, tmp_path, monkeypatch):
    pipeline.save_pretrained(tmp_path / "model")
    repository = tmp_path / "cache/models--someone--restorer"
    shutil.copytree(tmp_path / "model", repository / "snapshots/0123456789012345678901234567890123456789")
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0123456789012345678901234567890123456789")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    loaded = FastRestorePipeline.from_pretrained("someone/restorer", local_files_only=True)
    lq = picture(5, 5, 3)
    record = loaded(lq).records[0]
    assert record["model"]["name"] == "someone/restorer"
    assert record["output_sha256"] == pipeline(lq).records[0]["output_sha256"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_within_a_level_or_two(pipeline, picture, tmp_path, dtype):
    lq = picture(16, 16, 3)
    expected = pipeline(lq, output_type="photo").images[0].pixels.astype(int)
    pipeline.save_pretrained(tmp_path)
    half = FastRestorePipeline.from_pretrained(tmp_path, dtype=dtype)
    output = half(lq, output_type="photo")
    assert half.dtype == dtype
    assert np.abs(output.images[0].pixels - expected).max() <= (2 if dtype == torch.bfloat16 else 1)
    assert output.records[0]["runtime"]["dtype"] == str(dtype).removeprefix("torch.")


def test_an_idle_half_precision_network_changes_no_16_bit_value(pipeline, picture):
    with torch.no_grad():
        pipeline.regressor.ending.weight.zero_()
        pipeline.regressor.ending.bias.zero_()
    pipeline.to(torch.float16)
    lq = picture(9, 9, 3, dtype=np.uint16)
    assert np.array_equal(pipeline(lq, output_type="photo").images[0].pixels, lq)


def test_an_overflow_in_half_precision_is_computed_again_in_float32(pipeline, picture, caplog):
    lq = picture(8, 8, 3)
    block = pipeline.regressor.middle_blks[0]
    with torch.no_grad():  # the gate's product of 400 * 400 is beyond 65504, the next layer brings it back
        block.conv4.bias.fill_(400)
        block.conv5.weight.mul_(1e-4)
    expected = pipeline(lq, output_type="photo").images[0].pixels.astype(int)
    pipeline.to(torch.float16)
    with caplog.at_level(logging.WARNING):
        restored = pipeline(lq, output_type="photo").images[0].pixels
    assert "float32" in caplog.text
    assert pipeline.dtype == torch.float16
    assert np.abs(restored - expected).max() <= 3


def test_undefined_weights_are_refused(pipeline, picture):
    with torch.no_grad():
        pipeline.regressor.intro.bias.fill_(torch.nan)
    with pytest.raises(WeightsError, match="damaged"):
        pipeline(picture(8, 8, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_fidelity_goes_from_the_result_to_the_input_itself(pipeline, picture, dtype):
    lq = picture(20, 20, 3, dtype=dtype)
    results = [pipeline(lq, fidelity=share, output_type="photo").images[0].pixels for share in (0, 0.25, 0.5, 0.75, 1)]
    errors = [np.square(result.astype(float) - lq).mean() for result in results]
    assert errors == sorted(errors, reverse=True) and len(set(errors)) == len(errors)
    assert np.array_equal(results[-1], lq)
    assert np.array_equal(results[0], pipeline(lq, output_type="photo").images[0].pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_protected_pixels_are_the_input_and_the_others_the_result(pipeline, picture, dtype):
    lq = picture(12, 10, 3, dtype=dtype)
    mask = np.zeros((12, 10), np.uint8)
    mask[:, :4] = 255
    restored = pipeline(lq, output_type="photo").images[0].pixels
    for given in (mask, mask > 0, Image.fromarray(mask), [mask]):
        protected = pipeline(lq, protect=given, output_type="photo").images[0].pixels
        assert np.array_equal(protected[:, :4], lq[:, :4])
        assert np.array_equal(protected[:, 4:], restored[:, 4:])


def test_tiles_give_what_the_whole_picture_gives(local_pipeline, picture):
    lq = picture(120, 120, 3, dtype=np.float32)  # two tiles of 64 a side, on the network's grid of 4
    whole = local_pipeline(lq, tile="off", output_type="np")
    tiled = local_pipeline(lq, tile=64, output_type="np")
    assert whole.records[0]["tile_plan"]["tile"] == 0
    assert tiled.records[0]["tile_plan"]["tile"] == 64
    difference = np.abs(whole.images[0] - tiled.images[0])
    assert np.median(difference) < 1e-6
    assert difference.mean() < 0.01 * np.abs(whole.images[0] - lq).mean()


def test_the_plan_follows_from_size_and_budget(pipeline, picture):
    lq = picture(200, 200, 3)
    assert pipeline(lq, memory_gb=4.0).records[0]["tile_plan"]["tile"] == 0
    assert pipeline(lq, memory_gb=0.04).records[0]["tile_plan"]["tile"] == 128


def test_running_out_of_memory_steps_down_and_says_so(pipeline, picture, caplog):
    def refuse_large(module, arguments):
        if arguments[0].shape[-1] > 144:
            raise torch.OutOfMemoryError("CUDA out of memory")

    pipeline.regressor.register_forward_pre_hook(refuse_large)
    lq = picture(200, 200, 3)
    with caplog.at_level(logging.WARNING):
        plan = pipeline(lq, tile="off").records[0]["tile_plan"]
    assert (plan["tile"], plan["steps_down"]) == (128, 2)
    assert "memory ran out" in caplog.text


def test_a_failure_sends_modules_back_and_leaves_no_statistics(pipeline, picture, monkeypatch):
    freed, lq = [], picture(70, 70, 3)
    before = pipeline(lq, output_type="photo").images[0].pixels
    monkeypatch.setattr(pipeline, "maybe_free_model_hooks", lambda: freed.append(1))
    hook = pipeline.regressor.ending.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pipeline(lq, tile=64)
    hook.remove()
    assert freed == [1]
    assert np.array_equal(pipeline(lq, output_type="photo").images[0].pixels, before)


def test_threads_take_turns_and_pipelines_can_be_copied(pipeline, picture):
    pictures = [picture(70, 40, 3, seed=seed) for seed in range(4)]
    expected = [pipeline(one, tile=64).records[0]["output_sha256"] for one in pictures]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda one: pipeline(one, tile=64).records[0]["output_sha256"], pictures))
    assert found == expected
    assert copy.deepcopy(pipeline)(pictures[0], tile=64).records[0]["output_sha256"] == expected[0]


def test_weights_are_hashed_once(pipeline, picture, monkeypatch):
    pipeline(picture(8, 8, 3))
    monkeypatch.setattr("ldrestore.weights.hashes.hash_of_weights", lambda _network: pytest.fail("hashed again"))
    pipeline(picture(8, 8, 3))


def test_other_errors_of_a_network_are_not_taken_for_a_lack_of_memory(pipeline, picture):
    def fail(module, arguments):
        raise RuntimeError("something else")

    pipeline.regressor.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="something else"):
        pipeline(picture(8, 8, 3))


@pytest.mark.parametrize("flip", [(0,), (1,), (0, 1)])
def test_the_self_ensemble_commutes_with_flips(pipeline, picture, flip):
    lq = picture(16, 16, 3, dtype=np.float32)
    restored = pipeline(lq, self_ensemble=True, output_type="np").images[0]
    flipped = pipeline(np.flip(lq, flip).copy(), self_ensemble=True, output_type="np").images[0]
    assert np.abs(np.flip(restored, flip) - flipped).max() < 1e-5
    assert np.abs(restored - pipeline(lq, output_type="np").images[0]).max() > 1e-4


def test_scale_enlarges_colours_and_alpha_first(pipeline, picture):
    lq = picture(7, 5, 4)
    photo = pipeline(lq, scale=3, output_type="photo").images[0]
    assert photo.pixels.shape == (21, 15, 3)
    assert photo.alpha.shape == (21, 15)
    mask = np.zeros((7, 5), np.uint8)
    assert np.array_equal(pipeline(lq, scale=3, protect=mask, output_type="photo").images[0].pixels, photo.pixels)


def test_a_grey_picture_given_as_three_channels_comes_back_without_chroma(pipeline, picture):
    grey = picture(16, 12, 1)
    restored = pipeline(grey.repeat(3, axis=2), output_type="photo").images[0].pixels
    assert np.array_equal(restored, pipeline(grey, output_type="photo").images[0].pixels.repeat(3, axis=2))
    assert not np.array_equal(restored[..., :1], grey)


@pytest.mark.parametrize("scale", [1, 2])
def test_hidden_colours_change_nothing_that_is_seen(pipeline, picture, scale):
    looks = []
    for hidden in (0, 255):
        lq = picture(24, 16, 4)
        lq[..., 3] = 255
        lq[4:12, 4:12] = (hidden, hidden, hidden, 0)
        photo = pipeline(lq, scale=scale, output_type="photo").images[0]
        looks.append(photo.pixels[photo.alpha > 0])
        if scale == 1:
            assert (photo.pixels[4:12, 4:12] == hidden).all()
    assert np.array_equal(*looks)


def test_no_bar_is_drawn_outside_a_terminal(local_pipeline, picture, tmp_path, capfd):
    local_pipeline.save_pretrained(tmp_path / "saved")
    capfd.readouterr()
    FastRestorePipeline.from_pretrained(tmp_path / "saved")(picture(9, 9, 3))
    assert capfd.readouterr() == ("", "")


def test_records_tell_input_weights_options_and_machine(pipeline, picture):
    lq = picture(6, 6, 3)
    first, again = pipeline(lq).records[0], pipeline(lq).records[0]
    assert first == again
    assert json.loads(json.dumps(first)) == first
    assert first["runtime"] == {
        "engine": "local",
        "device": "cpu",
        "dtype": "float32",
        "threads": torch.get_num_threads(),
        "processor": torch.backends.cpu.get_cpu_capability(),
    }
    assert pipeline(lq, fidelity=0.5).records[0]["options"]["fidelity"] == 0.5
    with torch.no_grad():
        pipeline.regressor.intro.bias.add_(0.1)
    changed = pipeline(lq).records[0]
    assert changed["model"]["weights_sha256"] != first["model"]["weights_sha256"]
    assert changed["input_sha256"] == first["input_sha256"]
    assert changed["output_sha256"] != first["output_sha256"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "scale"),
        ({"scale": 1.5}, "scale"),
        ({"scale": 9}, "scale"),
        ({"fidelity": -0.1}, "fidelity"),
        ({"fidelity": float("nan")}, "fidelity"),
        ({"tile": "large"}, "tile must be"),
        ({"tile": 100}, "multiple of 64"),
        ({"memory_gb": 0}, "memory_gb"),
    ],
)
def test_options_out_of_range_are_refused(pipeline, picture, options, message):
    with pytest.raises(InputError, match=message):
        pipeline(picture(8, 8, 3), **options)


def test_wrong_pictures_and_masks_are_refused(pipeline, picture):
    with pytest.raises(ShapeError):
        pipeline(picture(8, 8, 5))
    with pytest.raises(InputError, match="picture's size"):
        pipeline(picture(8, 8, 3), protect=picture(8, 7, 1))
    with pytest.raises(InputError, match="opaque"):
        pipeline(picture(8, 8, 3), protect=picture(8, 8, 2))
    with pytest.raises(InputError, match="one mask for each of the 1 pictures"):
        pipeline(picture(8, 8, 3), protect=[None, None])


@pytest.mark.gpu
def test_the_gpu_gives_the_cpus_result_within_a_level(pipeline, picture):
    lq = picture(40, 30, 3)
    expected = pipeline(lq, output_type="photo").images[0].pixels.astype(int)
    output = pipeline.to("cuda")(lq, output_type="photo")
    assert np.abs(output.images[0].pixels - expected).max() <= 1
    assert output.records[0]["runtime"]["device"].startswith("cuda")


def test_the_output_tells_what_was_changed(pipeline, picture):
    lq = picture(20, 30, 3)
    output = pipeline([lq, lq], scale=2)
    first, second = output.changes
    assert first.levels.shape == (40, 60) and np.array_equal(first.levels, second.levels)
    assert first.picture().mode == "RGB" and "changed by more than 2 levels" in first.summary
    same = pipeline(lq, fidelity=1.0).changes[0]
    assert not same.levels.any()
