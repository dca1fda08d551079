import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ldrestore.errors import (
    ExportError,
    InputError,
    UnknownModelError,
    UnknownNameError,
    WeightsError,
    WeightsUnavailableError,
)
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.restorers import device_of, export_model, list_models, load_restorer, restore
from tests.fake_hub import FakeHub
from tests.tiny_instructed import fill_cache, tiny_instructed

ROOT = Path(__file__).resolve().parent.parent


def run_python(code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    outcome = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.strip()


def save_model(folder, seed):
    network = create_regressor("nafnet", width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1]).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    FastRestorePipeline(regressor=network).save_pretrained(folder)


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", seed=0)
    return tmp_path / "model"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty Hub, in place of the real one."""
    fake = FakeHub(tmp_path / "hub")
    monkeypatch.setattr("ldrestore.weights.folders.snapshot_download", fake)
    return fake


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def test_restore_gives_what_the_loaded_pipeline_gives(folder, picture):
    output = restore(picture, model=folder, device="cpu", output_type="photo")
    expected = load_restorer(folder, device="cpu")(picture)
    assert np.array_equal(output.photos[0].pixels, expected.photos[0].pixels)
    assert output.records == expected.records


def test_restore_takes_an_instruction(picture, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    pipeline = tiny_instructed(fill_cache(tmp_path / "cache"))
    pipeline.save_pretrained(tmp_path / "instructed")
    options = {"instruction": "remove the rain", "output_type": "photo"}
    output = restore(picture, model=tmp_path / "instructed", device="cpu", **options)
    assert np.array_equal(output.images[0].pixels, pipeline(picture, **options).images[0].pixels)
    requests = {key: value for key, value in output.records[0]["options"].items() if not key.endswith("_sha256")}
    replayed = restore(picture, model=tmp_path / "instructed", device="cpu", **requests)
    assert replayed.records == output.records


def test_restore_sees_that_a_models_files_have_changed(folder, picture):
    first = restore(picture, model=folder, device="cpu")
    save_model(folder, seed=1)
    second = restore(picture, model=folder, device="cpu")
    assert first.records[0]["model"]["weights_sha256"] != second.records[0]["model"]["weights_sha256"]


def test_unknown_options_are_refused_before_loading(folder, picture):
    with pytest.raises(
        UnknownNameError, match=r"unknown option of FastRestorePipeline 'fidelty'; did you mean 'fidelity'"
    ):
        restore(picture, model=folder, fidelty=0.5)
    with pytest.raises(UnknownNameError, match="'seed'"):
        restore(picture, model=folder, seed=1)


def test_unknown_models_name_the_way_out(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="did you mean 'default'"):
        load_restorer("defualt")
    for name in (tmp_path / "absent", "nobody/nothing", "n" * 300, "n" * 300 + ".pth"):
        with pytest.raises(WeightsUnavailableError, match="HF_HUB_OFFLINE"):
            load_restorer(name)
    with pytest.raises(WeightsUnavailableError, match=r"no file at n+\.onnx; make it with"):
        load_restorer("n" * 300 + ".onnx")


def test_a_folder_of_another_pipeline_is_refused(folder):
    index = folder / "model_index.json"
    index.write_text(
        index.read_text(encoding="utf-8").replace("FastRestorePipeline", "OtherPipeline"), encoding="utf-8"
    )
    with pytest.raises(WeightsError, match="OtherPipeline"):
        load_restorer(folder)


def test_float16_without_a_gpu_is_warned_of_in_one_line(folder, caplog):
    logging.getLogger("diffusers").addHandler(caplog.handler)  # its records go no further than that
    with pytest.warns(UserWarning, match="many times slower than float32; leave dtype") as warned:
        assert load_restorer(folder, device="cpu", dtype="float16").dtype == torch.float16
    logging.getLogger("diffusers").removeHandler(caplog.handler)
    assert len(warned) == 1
    assert not caplog.records


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_number_formats_are_taken_by_name_too(folder, dtype):
    assert load_restorer(folder, device="cpu", dtype=dtype).dtype == torch.bfloat16


def test_an_architecture_is_told_from_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownModelError, match="nafnet is an architecture, not a model; `ldrestore convert nafnet"):
        load_restorer("nafnet")
    save_model(tmp_path / "nafnet", seed=0)
    assert type(load_restorer("nafnet", device="cpu")).__name__ == "FastRestorePipeline"


def test_unknown_devices_and_number_formats_are_refused(folder):
    with pytest.raises(InputError, match="expected a device"):
        load_restorer(folder, device="toaster")
    with pytest.raises(InputError, match="no device"):
        load_restorer(folder, device="cuda:99")
    with pytest.raises(UnknownNameError, match="unknown dtype 'float8'"):
        load_restorer(folder, dtype="float8")


def test_the_engine_onnx_exports_a_model_once(folder, picture, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    exported, expected = (restore(picture, model=folder, engine=engine, device="cpu") for engine in ("onnx", "local"))
    difference = np.subtract(exported.images[0], expected.images[0], dtype=int)
    assert np.abs(difference).max() <= 1
    hashes = [output.records[0]["model"]["weights_sha256"] for output in (exported, expected)]
    assert hashes[0] == hashes[1]
    (file,) = (tmp_path / "cache" / "ldrestore" / "onnx").iterdir()
    assert file.name.startswith("nafnet-")
    before = file.stat().st_mtime_ns
    again = load_restorer(folder, engine="onnx")(picture)
    assert again.records == exported.records
    assert file.stat().st_mtime_ns == before
    from_file = restore(picture, model=file)
    assert from_file.records == exported.records
    save_model(folder, seed=1)
    assert restore(picture, model=folder, engine="onnx").records != exported.records
    assert len(list(file.parent.iterdir())) == 2


def test_a_cache_that_cannot_be_made_names_the_way_out(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ExportError, match="set XDG_CACHE_HOME"):
        load_restorer(folder, engine="onnx")


def test_what_the_engine_onnx_cannot_do_is_refused_before_loading(folder, tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown engine 'onyx'; did you mean 'onnx'"):
        load_restorer(folder, engine="onyx")
    with pytest.raises(InputError, match="on the CPU in float32"):
        load_restorer(folder, engine="onnx", dtype="bfloat16")
    with pytest.raises(InputError, match="on the CPU in float32"):
        restore(np.zeros((4, 4, 3)), model=tmp_path / "x.onnx", dtype="float16")
    with pytest.raises(WeightsUnavailableError, match=r"no file at .*x\.onnx"):
        load_restorer(tmp_path / "x.onnx")
    with pytest.raises(InputError, match="an export already"):
        export_model(tmp_path / "x.onnx", tmp_path / "y.onnx")


@pytest.mark.e2e
def test_listing_models_imports_no_torch():
    code = "import sys, ldrestore; print([m.name for m in ldrestore.list_models()], 'torch' in sys.modules)"
    assert run_python(code) == f"{[model.name for model in list_models()]} False"


@pytest.mark.e2e
def test_a_fresh_process_loads_a_saved_model(folder):
    code = f"import ldrestore; print(type(ldrestore.FastRestorePipeline.from_pretrained({str(folder)!r})).__name__)"
    assert run_python(code) == "FastRestorePipeline"


def test_a_repository_in_the_cache_is_used_without_asking_the_hub(hub, picture):
    save_model(hub.folder("someone/model"), seed=0)
    first, again = (restore(picture, model="someone/model", device="cpu") for _ in range(2))
    assert first.records == again.records
    assert first.records[0]["model"]["name"] == "someone/model"
    assert {is_local for _, is_local in hub.requests} == {True}


def test_a_repository_that_is_not_whole_in_the_cache_is_asked_for(hub, picture):
    save_model(hub.folder("someone/half"), seed=0)
    (weights,) = hub.folder("someone/half").rglob("*.safetensors")
    weights.unlink()
    with pytest.raises(WeightsError):
        restore(picture, model="someone/half", device="cpu")
    assert ("someone/half", False) in hub.requests


def test_a_base_for_a_whole_model_is_refused(folder, hub, picture):
    save_model(hub.folder("someone/whole"), seed=0)
    for name in (folder, "someone/whole"):
        with pytest.raises(InputError, match="a whole model, and base is for adapters alone"):
            restore(picture, model=name, base="any")


@pytest.mark.parametrize("device", ["meta", "xpu", "hpu", "vulkan", None, 1.5, "", "cuda:-1", "CPU"])
def test_a_device_that_computes_nothing_here_is_refused(device) -> None:
    with pytest.raises(InputError, match="device"):
        device_of(device)


def test_devices_come_back_as_they_are() -> None:
    assert str(device_of("cpu")) == "cpu" == str(device_of(torch.device("cpu")))
    assert device_of("auto").type in ("cpu", "cuda", "mps")


def test_a_wrong_call_from_python_is_told_as_on_the_command_line(folder, picture) -> None:
    for options, words in (
        ({"fidelity": "much"}, "fidelity must lie in"),
        ({"scale": 1.5}, "scale must be a whole number"),
        ({"engine": "onx"}, "did you mean 'onnx'"),
        ({"devise": "cpu"}, "did you mean 'device'"),
        ({"num_inference_steps": 3}, "unknown option of FastRestorePipeline"),
        ({"tile": 100}, "64"),
        ({"output_type": "jpeg"}, "unknown output_type"),
    ):
        with pytest.raises(InputError, match=words):
            restore(picture, model=folder, **options)
