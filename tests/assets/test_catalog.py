import pytest
import torch
from torch import nn

from ldrestore.assets.catalog import MODELS, embedded_folder, folder_of
from ldrestore.errors import WeightsUnavailableError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.prompts.task_prompts import TASK_PROMPTS
from ldrestore.weights.file_names import ORIGIN_FILE
from ldrestore.weights.folders import read_json
from tests.embedded_models import embed_folder


@pytest.mark.parametrize("record", list(MODELS), ids=lambda record: record.name)
def test_every_name_stands_for_a_whole_folder(record):
    folder = embedded_folder(record.name)
    assert folder == folder_of(record)
    assert {"model_index.json", "README.md"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("record", [record for record in MODELS if record.track == "stable"], ids=lambda one: one.name)
def test_records_of_the_stable_track_say_what_their_folders_hold(record, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pipeline = StableRestorePipeline.from_pretrained(record.name)
    networks = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    assert sum(weight.numel() for part in networks for weight in part.parameters()) == record.parameters
    assert {part.dtype for part in networks} == {torch.float32}
    assert pipeline.predictor.names == record.tasks
    assert pipeline.config["_name_or_path"] == record.name
    sizes = [path.stat().st_size for path in folder_of(record).rglob("*") if path.is_file()]
    assert max(sizes) <= 15 * 2**20 and sum(sizes) <= 16_000_000
    assert read_json(folder_of(record) / ORIGIN_FILE)["weights_licence"] == record.licence


@pytest.mark.parametrize("record", [record for record in MODELS if record.track == "xl"], ids=lambda one: one.name)
def test_records_of_the_xl_track_say_what_their_folders_hold(record, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pipeline = XLRestorePipeline.from_pretrained(record.name)
    networks = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    assert sum(weight.numel() for part in networks for weight in part.parameters()) == record.parameters
    assert {part.dtype for part in networks} == {torch.float32}
    assert all(weight.isfinite().all() for part in networks for weight in part.parameters())
    assert set(record.tasks) <= TASK_PROMPTS.keys()
    assert pipeline.daff is not None and pipeline.daem is not None
    assert pipeline.config["_name_or_path"] == record.name
    assert sum(path.stat().st_size for path in folder_of(record).rglob("*") if path.is_file()) <= 16_000_000
    origin = read_json(folder_of(record) / ORIGIN_FILE)
    assert origin["weights_licence"] == record.licence
    trainers = [run["trainer"] for run in origin["runs"]]
    assert (trainers[0], trainers[-1]) == ("backbone", "detail_experts") and "fusion" in trainers


def test_what_is_no_name_is_no_embedded_folder(tmp_path):
    assert embedded_folder("somebody/model") is None
    assert embedded_folder(tmp_path) is None


def test_missing_weights_are_an_error(monkeypatch, tmp_path):
    embed_folder(monkeypatch, tmp_path / "gone", name="lost")
    with pytest.raises(WeightsUnavailableError, match="weights of 'lost' are missing"):
        embedded_folder("lost")


@pytest.mark.parametrize("record", [record for record in MODELS if record.track == "fast"], ids=lambda one: one.name)
def test_records_of_the_fast_track_say_what_their_folders_hold(record):
    regressor = FastRestorePipeline.from_pretrained(record.name).regressor
    assert sum(weight.numel() for weight in regressor.parameters()) == record.parameters
    assert tuple(regressor.config["degradations"]) == record.tasks
    assert sum(path.stat().st_size for path in folder_of(record).rglob("*") if path.is_file()) <= 16_000_000
