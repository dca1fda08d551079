"""What saves, checks and loads parts knows none by name: another system's table serves as well."""

import json
from dataclasses import replace

import pytest
import torch

from ldrestore.checkpoints.adapters_folder import check_base, read_adapters, read_pointer, write_adapters
from ldrestore.checkpoints.base_model import base_files, load_base_parts
from ldrestore.checkpoints.part_table import PartTable
from ldrestore.checkpoints.run_exports import load_exports
from ldrestore.checkpoints.stable_diffusion import stable_diffusion_2
from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.guides.loading_quietly import without_progress_bar
from tests.tiny_clip import tiny_text_encoder
from tests.tiny_stable import tiny_adapters, tiny_base

LAYOUT = replace(
    stable_diffusion_2(),
    title="Novel Diffusion",
    text_encoders={name: "transformers:CLIPTextModel" for name in ("text_encoder", "text_encoder_2")},
    tokenizers=("tokenizer", "tokenizer_2"),
    check_unet=lambda config: None,
)
TABLE = PartTable(
    pipeline="NovelRestorePipeline",
    base=LAYOUT,
    towers={},
    trained={
        "layers": "ldrestore.adapters.injection:InjectionLayers",
        "refiner": "ldrestore.refiners.drm:DetailRefinementModule",
    },
    optional=("tokenizer", "tokenizer_2", "refiner"),
)


@pytest.fixture
def parts():
    """A base with two text encoders and no tower, and what a novel system trains upon it."""
    base = tiny_base()
    trained = tiny_adapters(base["unet"])
    encoders = {"text_encoder_2": tiny_text_encoder(), "tokenizer_2": base["tokenizer"]}
    return {**base, **encoders, "layers": trained["injection"], "refiner": trained["drm"]}


def same(left, right):
    return all(torch.equal(left.state_dict()[key], value) for key, value in right.state_dict().items())


def test_what_is_needed_and_what_is_frozen_follow_from_the_table():
    assert TABLE.frozen == ("vae", "unet", "text_encoder", "text_encoder_2")
    assert TABLE.needed == (*TABLE.frozen, "scheduler", "layers")


def test_adapters_of_another_system_are_written_and_read(parts, tmp_path):
    folder = write_adapters(tmp_path / "adapters", parts, table=TABLE, base="somebody/novel")
    content = json.loads((folder / "adapters.json").read_text())
    assert content["pipeline"] == "NovelRestorePipeline"
    assert list(content["frozen"]) == list(TABLE.frozen)
    _, pointer = read_pointer(folder)
    check_base(parts, pointer, table=TABLE)
    found = read_adapters(folder, pointer, table=TABLE, dtype=torch.float32)
    assert all(same(found[name], parts[name]) for name in TABLE.trained)
    with torch.no_grad():
        next(parts["text_encoder_2"].parameters()).add_(1)
    with pytest.raises(WeightsError, match="their text_encoder_2 has other weights"):
        check_base(parts, pointer, table=TABLE)


def test_a_part_that_the_table_needs_or_does_not_know_is_named(parts, tmp_path):
    folder = write_adapters(tmp_path / "adapters", {**parts, "layers": None}, table=TABLE, base="somebody/novel")
    _, pointer = read_pointer(folder)
    with pytest.raises(WeightsError, match="has no layers"):
        read_adapters(folder, pointer, table=TABLE, dtype=torch.float32)
    other = {**pointer, "components": {**pointer["components"], "predictor": ["a", "b"]}}
    with pytest.raises(WeightsError, match="has unknown parts predictor"):
        read_adapters(folder, other, table=TABLE, dtype=torch.float32)


def test_exports_of_another_system_are_found_by_the_names_of_its_parts(parts, tmp_path):
    parts["layers"].save_pretrained(tmp_path / "run/layers")
    found = load_exports([tmp_path / "run"], table=TABLE, dtype=torch.float32)
    assert same(found["layers"], parts["layers"]) and found["refiner"] is None
    with pytest.raises(WeightsUnavailableError, match="holds none of layers, refiner; give the export of a run"):
        load_exports([tmp_path], table=TABLE, dtype=torch.float32)


def test_a_base_of_another_layout_is_loaded_with_all_its_encoders(parts, tmp_path):
    base = {name: parts[name] for name in (*TABLE.frozen, *LAYOUT.tokenizers, "scheduler")}
    with without_progress_bar():
        for name, part in base.items():
            part.save_pretrained(tmp_path / name)
    found = load_base_parts(tmp_path, layout=LAYOUT)
    assert found.keys() == base.keys()
    assert same(found["text_encoder_2"], parts["text_encoder_2"])
    (tmp_path / "text_encoder_2/config.json").unlink()
    with pytest.raises(WeightsError, match="it lacks text_encoder_2; name a Novel Diffusion"):
        load_base_parts(tmp_path, layout=LAYOUT)


def test_what_is_fetched_follows_from_the_layout():
    known = base_files(stable_diffusion_2())
    more = set(base_files(LAYOUT)) - set(known)
    assert {"tokenizer/*.txt", "unet/config.json", "text_encoder/model-*.safetensors"} <= {*known}
    assert more and all("_2/" in pattern for pattern in more)
