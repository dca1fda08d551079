import json
import shutil
from pathlib import Path

import embed_stable_model
import numpy as np
import pytest
import torch
from embed_stable_model import embed, weights_of
from torch import nn

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.checkpoints.base_model import load_base_parts
from ldrestore.checkpoints.stable_diffusion import stable_diffusion_2
from ldrestore.errors import WeightsError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.weights.hashes import hash_of_file
from tests.adapters.conftest import randomize
from tests.embedded_models import embed_folder
from tests.training.stable_runs import NAMES, save_base


def trained_parts(unet):
    """What runs export beside the base of `save_base`."""
    torch.manual_seed(1)
    visual = {"num_res_blocks": 1, "attention_levels": (1,), "num_heads": 2, "num_groups": 4, "num_prompts": 2}
    visual |= {"prompt_dim": 4, "num_prompt_heads": 1, "prompt_head_dim": 4}
    refining = {"head_dim": 4, "window_size": 4, "norm_num_groups": 4, "num_res_blocks": 1, "num_prompts": 2}
    parts = {
        "predictor": DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8),
        "cm_adapter": CMAdapter(NAMES, embedding_dim=6, text_dim=8, num_tokens=2, num_heads=2),
        "textual_prompts": TextualPromptPool(NAMES, num_tokens=2, text_dim=8),
        "ir_adapter": IRAdapter(NAMES, in_channels=4, channels=(8, 8), out_channels=8, **visual),
        "injection": InjectionLayers.for_unet(unet, feature_channels=8, hidden_channels=4),
        "drm": DetailRefinementModule((8, 8), (8, 8), degradations=NAMES, prompt_dim=4, **refining),
    }
    return {name: randomize(part) for name, part in parts.items()}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Folders of a base, of adapters, and of a refinement."""
    root = tmp_path_factory.mktemp("exports")
    with without_progress_bar():
        save_base(root / "base")
    for name, part in trained_parts(load_base_parts(root / "base", layout=stable_diffusion_2())["unet"]).items():
        part.save_pretrained(root / ("refiner" if name == "drm" else "adapters") / name)
    return root / "base", root / "adapters", root / "refiner"


def exported_weights(base, adapters, refiner):
    """Part to key to tensor, as the runs wrote them."""
    return weights_of(embed_stable_model.assemble(base, adapters, refiner))


def test_the_embedded_model_has_the_rounded_weights_in_float32(exports, tmp_path, monkeypatch):
    target = tmp_path / "assets" / "tiny_stable"
    target.mkdir(parents=True)
    (target / "README.md").write_text("the card")
    (target / "old").mkdir()
    with pytest.raises(ValueError, match="holds something else than a model"):
        embed(*exports, target)
    assert (target / "old").is_dir()
    (target / "model_index.json").write_text("{}")
    embed(*exports, target)
    assert (target / "README.md").read_text() == "the card" and not (target / "old").exists()
    assert [path.name for path in target.parent.iterdir()] == ["tiny_stable"]
    embed_folder(monkeypatch, target, name="tiny-stable")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    loaded = StableRestorePipeline.from_pretrained("tiny-stable")
    expected, found = exported_weights(*exports), weights_of(loaded)
    assert found.keys() == expected.keys() and "drm" in found
    for name, weights in expected.items():
        for key, weight in weights.items():
            rounded = weight.half().float() if weight.is_floating_point() else weight
            assert found[name][key].dtype == rounded.dtype
            assert torch.equal(found[name][key], rounded), (name, key)
    networks = [part for part in loaded.components.values() if isinstance(part, nn.Module)]
    assert {part.dtype for part in networks} == {torch.float32}
    halves = sum(2 * weight.numel() for weights in expected.values() for weight in weights.values())
    files = sum(path.stat().st_size for path in target.rglob("*.safetensors"))
    assert halves < files < halves + 2**18


def test_the_folder_tells_where_the_weights_are_from_and_nothing_of_the_disk(exports, tmp_path):
    embed(*exports, tmp_path / "tiny_stable")
    origin = json.loads((tmp_path / "tiny_stable/ldrestore.json").read_text())
    assert origin["weights_licence"] == "Apache-2.0" and origin["architecture"] == "mperceiver"
    exported = [path for export in exports for path in export.rglob("*.safetensors")]
    hashes = {f"{path.parent.name}/{path.name}": hash_of_file(path) for path in exported}
    assert origin["source_sha256"] == hashes and "drm/diffusion_pytorch_model.safetensors" in hashes
    texts = {path: path.read_text() for path in (tmp_path / "tiny_stable").rglob("*.json")}
    root = str(exports[0].parent.parent)
    assert [path for path, text in texts.items() if root in text or str(tmp_path) in text] == []
    assert (
        json.loads((tmp_path / "tiny_stable/unet/config.json").read_text())["_name_or_path"] == embed_stable_model.NAME
    )


def test_the_tokenizer_keeps_no_length_of_a_call(exports, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(exports[0], base)
    path = base / "tokenizer/tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_length": 5}))
    embed(base, *exports[1:], tmp_path / "tiny_stable")
    settings = json.loads((tmp_path / "tiny_stable/tokenizer/tokenizer_config.json").read_text())
    assert "max_length" not in settings and settings["tokenizer_class"]


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt("no space left")])
def test_the_old_model_comes_back_if_the_new_one_cannot_take_its_place(exports, tmp_path, monkeypatch, error):
    target, rename = tmp_path / "tiny_stable", Path.rename
    target.mkdir()
    (target / "model_index.json").write_text("the old one")

    def fail_once(self, other):
        if self.name == "tiny_stable" and self.parent != tmp_path:
            raise error
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(type(error), match="no space left"):
        embed(*exports, target)
    assert (target / "model_index.json").read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny_stable"]


def test_without_a_refinement_it_restores_too(exports, tmp_path):
    embedded = embed(exports[0], exports[1], None, tmp_path / "tiny_stable")
    embedded.set_progress_bar_config(disable=True)
    assert embedded.drm is None
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    output = embedded(picture, num_inference_steps=1, seed=1, output_type="photo")
    assert output.images[0].pixels.shape == (9, 12, 3)
    assert set(output.records[0]["degradations"]) == set(NAMES)


def test_what_is_too_large_is_refused_and_the_old_model_stays(exports, tmp_path, monkeypatch):
    target = tmp_path / "tiny_stable"
    target.mkdir()
    (target / "model_index.json").write_text("the old one")
    for limit in ("LARGEST_FILE", "LARGEST_MODEL"):
        with monkeypatch.context() as patched:
            patched.setattr(embed_stable_model, limit, 20_000)
            with pytest.raises(ValueError, match="bytes, more than 20,000"):
                embed(*exports, target)
    monkeypatch.setattr(embed_stable_model, "PACKAGED", {".safetensors"})
    with pytest.raises(ValueError, match="left out of the wheel"):
        embed(*exports, target)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny_stable"]
    assert (target / "model_index.json").read_text() == "the old one"


def test_weights_beyond_float16_and_missing_parts_are_refused(exports, tmp_path):
    base, adapters, refiner = exports
    parts = trained_parts(load_base_parts(base, layout=stable_diffusion_2())["unet"])
    with torch.no_grad():
        next(parts["drm"].parameters()).fill_(1e6)
    parts["drm"].save_pretrained(tmp_path / "refiner" / "drm")
    with pytest.raises(ValueError, match="a weight of drm does not fit into float16"):
        embed(base, adapters, tmp_path / "refiner", tmp_path / "tiny_stable")
    with pytest.raises(WeightsError, match="needs predictor"):
        embed(base, refiner, None, tmp_path / "tiny_stable")
    assert not (tmp_path / "tiny_stable").exists()
