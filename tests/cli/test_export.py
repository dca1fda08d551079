import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def exported(tiny_model, tmp_path_factory):
    """A file that the command has made of the tiny model, and what it printed."""
    from typer.testing import CliRunner

    from ldrestore.cli.main import make_app

    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    result = CliRunner().invoke(make_app(), ["export", str(tiny_model), str(path)], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return path, result.stdout


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_the_file_restores_in_place_of_the_model(call, exported, tiny_model, folder, tmp_path):
    file, printed = exported
    assert printed == f"{file}\n"
    assert call("restore", folder / "a.png", tmp_path / "x.png", "--model", file).exit_code == 0
    assert (
        call("restore", folder / "a.png", tmp_path / "y.png", "--model", tiny_model, "--device", "cpu").exit_code == 0
    )
    assert np.abs(pixels(tmp_path / "x.png") - pixels(tmp_path / "y.png")).max() <= 1
    record = json.loads((tmp_path / "x.png.json").read_text())
    assert record["runtime"]["engine"] == "onnx"
    assert record["model"]["name"] == tiny_model.name


def test_the_engine_onnx_restores_a_folder(call, tiny_model, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = call("restore", folder, tmp_path / "out", "--model", tiny_model, "--engine", "onnx", "--json")
    assert result.exit_code == 0, result.stderr
    entries = json.loads(result.stdout)["results"]
    assert [entry["record"]["runtime"]["engine"] for entry in entries] == ["onnx", "onnx"]
    assert len(list((tmp_path / "cache" / "ldrestore" / "onnx").iterdir())) == 1


def test_an_existing_file_is_a_wrong_call_before_the_model_is_loaded(call, exported):
    file, _ = exported
    before = file.read_bytes()
    result = call("export", "no such model", file)
    assert result.exit_code == 2
    assert "exists" in result.stderr and "--overwrite" in result.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("x.pt", 2, "must end in .onnx"), ("missing/x.onnx", 2, "no folder"), ("x.onnx", 2, "unknown model 'defualt'")],
)
def test_what_cannot_be_exported_is_an_error_and_nothing_is_written(call, tmp_path, name, code, message):
    result = call("export", "defualt", tmp_path / name)
    assert result.exit_code == code
    assert result.stderr.startswith("error: ") and message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_an_error_before_any_picture(call, exported, folder, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(exported[0].read_bytes()[:-500])
    result = call("restore", folder, tmp_path / "out", "--model", tmp_path / "cut.onnx")
    assert result.exit_code == 1
    assert "cut.onnx is no intact ONNX file" in result.stderr
    assert not (tmp_path / "out").exists()


def test_info_tells_where_an_exported_file_comes_from(call, exported, tiny_model):
    facts = json.loads(call("info", exported[0], "--json").stdout)
    assert facts["architecture"] == "nafnet"
    assert facts["provenance"]["exported_from"] == tiny_model.name
    assert facts["weights_sha256"].keys() == {exported[0].name}


@pytest.mark.parametrize("words", [["--engine", "nothing"], ["--engine", "onnx", "--dtype", "float16"]])
def test_an_engine_that_there_is_not_is_a_wrong_call(call, tiny_model, folder, tmp_path, words):
    result = call("restore", folder, tmp_path / "out", "--model", tiny_model, *words)
    assert result.exit_code == 2
    assert "onnx" in result.stderr
    assert not (tmp_path / "out").exists()
