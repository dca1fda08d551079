import json
from pathlib import Path

import embed_stable_model
import numpy as np
import pytest
import torch
import yaml
from embed_stable_model import weights_of
from embed_xl_model import NAME, assemble_xl, embed_xl, runs_of

from ldrestore.errors import WeightsError
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.weights.hashes import hash_of_file
from tests.embedded_models import embed_folder
from tests.tiny_autoencoder import trained
from tests.tiny_xl import tiny_xl_base
from tests.tiny_xl_pipeline import tiny_xl_adapters

Exports = tuple[Path, list[Path]]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """A base, what stage 1 exports (its own U-Net too), and what stage 2 exports (its own autoencoder too)."""
    root, base = tmp_path_factory.mktemp("exports"), tiny_xl_base()
    with without_progress_bar():
        for name, part in base.items():
            part.save_pretrained(root / "base" / name)
        parts = tiny_xl_adapters(base["vae"])
        for stage, names in (("fusion", ("lq_encoder", "daff", "unet")), ("experts", ("daem", "vae"))):
            for name in names:
                part = parts[name] if name in parts else trained(base[name])
                part.save_pretrained(root / stage / name)
    return root / "base", [root / "fusion", root / "experts"]


def test_the_embedded_model_has_the_rounded_weights_and_restores_by_its_name(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "assets" / "tiny_xl"
    target.mkdir(parents=True)
    (target / "README.md").write_text("the card")
    embed_xl(*exports, target, steps=1)
    assert (target / "README.md").read_text() == "the card"
    assert [path.name for path in target.parent.iterdir()] == ["tiny_xl"]
    embed_folder(monkeypatch, target, name="tiny-xl", track="xl")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    loaded = XLRestorePipeline.from_pretrained("tiny-xl")
    expected, found = weights_of(assemble_xl(*exports)), weights_of(loaded)
    assert found.keys() == expected.keys() >= {"unet", "vae", "lq_encoder", "daff", "daem"}
    for name, weights in expected.items():
        for key, weight in weights.items():
            rounded = weight.half().float() if weight.is_floating_point() else weight
            assert found[name][key].dtype == rounded.dtype and torch.equal(found[name][key], rounded), (name, key)
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    output = loaded(picture, seed=1, instruction="remove the rain", output_type="photo")
    assert output.records[0]["options"]["num_inference_steps"] == 1
    assert output.images[0].pixels.shape == (9, 12, 3)


def test_parts_of_the_later_stage_count_and_the_folder_tells_whose_they_are(exports: Exports, tmp_path: Path) -> None:
    base, (fusion, experts) = exports
    embed_xl(base, [fusion, experts], tmp_path / "tiny_xl")
    origin = json.loads((tmp_path / "tiny_xl/ldrestore.json").read_text())
    name = "diffusion_pytorch_model.safetensors"
    for part, place in (("unet", fusion), ("daff", fusion), ("vae", experts), ("daem", experts)):
        assert origin["source_sha256"][f"{part}/{name}"] == hash_of_file(place / part / name)
    assert origin["source_sha256"]["text_encoder/model.safetensors"] == hash_of_file(
        base / "text_encoder/model.safetensors"
    )
    texts = [path.read_text() for path in (tmp_path / "tiny_xl").rglob("*.json")]
    assert not [text for text in texts if str(base.parent) in text or str(tmp_path) in text]
    assert json.loads((tmp_path / "tiny_xl/unet/config.json").read_text())["_name_or_path"] == NAME


def write_run(folder: Path, *, rates: dict[int, float], init_from: Path | None = None) -> Path:
    """The folder of a run without weights; gives its export."""
    folder.mkdir()
    config = {
        "trainer": "fusion",
        "stages": [
            {"patch_size": 64, "batch_size": 12, "steps": 50},
            {"patch_size": 128, "batch_size": 6, "steps": 2000},
        ],
        "optimizer": {"learning_rate": 4e-4},
        "init_from": None if init_from is None else str(init_from),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [{"step": step, "samples_per_second": rate} for step, rate in rates.items()]
    text = "".join(f"{json.dumps(line)}\n" for line in [*lines, {"step": max(rates), "validation/loss": 0.1}])
    (folder / "metrics.jsonl").write_text(text)
    return folder / "export"


def test_runs_are_told_with_those_that_they_began_from(tmp_path: Path) -> None:
    first = write_run(tmp_path / "fusion", rates={50: 5.0, 100: 2.5})
    second = write_run(tmp_path / "rollout", rates={40: 6.0, 70: 6.0}, init_from=first)
    runs = runs_of([tmp_path / "nowhere/export", second, first])
    assert [one["run"] for one in runs] == ["fusion", "rollout"]
    assert runs[0] == {
        "run": "fusion",
        "trainer": "fusion",
        "stages": [
            {"steps": 50, "batch_size": 12, "patch_size": 64},
            {"steps": 50, "batch_size": 6, "patch_size": 128},
        ],
        "learning_rate": 4e-4,
        "minutes": 4,  # 50 steps of 12 at 5 a second, 50 of 6 at 2.5
    }
    assert [stage["steps"] for stage in runs[1]["stages"]] == [40, 20]  # broken off in the second


def test_runs_of_a_model_that_was_embedded_before_come_first(tmp_path: Path) -> None:
    (tmp_path / "assets/before").mkdir(parents=True)
    (tmp_path / "assets/before/ldrestore.json").write_text(json.dumps({"runs": [{"run": "unet"}, {"run": "fusion"}]}))
    before = tmp_path / "assets/before"
    later = write_run(tmp_path / "rollout", rates={40: 6.0}, init_from=before)
    assert [one["run"] for one in runs_of([later])] == ["unet", "fusion", "rollout"]
    assert [one["run"] for one in runs_of([before, before, later])] == ["unet", "fusion", "rollout"]


def test_an_export_without_experts_is_refused(exports: Exports, tmp_path: Path) -> None:
    base, (fusion, _) = exports
    with pytest.raises(WeightsError, match="there is no daem; name the folders that both stages exported"):
        embed_xl(base, [fusion], tmp_path / "tiny_xl")
    assert not (tmp_path / "tiny_xl").exists()


def test_a_model_beyond_the_limit_is_refused_and_the_old_one_stays(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "tiny_xl"
    target.mkdir()
    (target / "model_index.json").write_text("the old one")
    monkeypatch.setattr(embed_stable_model, "LARGEST_MODEL", 20_000)
    with pytest.raises(ValueError, match="bytes, more than 20,000"):
        embed_xl(*exports, target)
    assert (target / "model_index.json").read_text() == "the old one"
