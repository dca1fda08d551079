import dataclasses
import json
import sys

import pytest

from ldrestore.errors import MissingExtraError, WeightsError, WeightsUnavailableError
from ldrestore.regressors.onnx_regressor import FORMAT, METADATA_KEY, ExportedFacts, OnnxRegressor, read_facts

FACTS = ExportedFacts(
    format=FORMAT,
    ldrestore="0.1.0",
    name="tiny",
    architecture="prompted_nafnet",
    network="PromptedNAFNet",
    config={"degradations": ["rain", "snow"]},
    parameters=10,
    weights_sha256="0" * 64,
    licence="MIT",
    source="a paper",
    size_multiple=8,
    bytes_per_pixel=100,
    degradations=["rain", "snow"],
    embedding_shape=None,
    is_embedding_needed=False,
)


def test_facts_come_back_as_they_went_in():
    assert read_facts({METADATA_KEY: FACTS.as_json()}, source="x.onnx") == FACTS
    steered = dataclasses.replace(FACTS, degradations=None, embedding_shape=[3, 8])
    assert read_facts({METADATA_KEY: steered.as_json()}, source="x.onnx") == steered


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, "another format"),
        ({"size_multiple": 0}, "damaged"),
        ({"size_multiple": "8"}, "damaged"),
        ({"bytes_per_pixel": True}, "damaged"),
        ({"embedding_shape": [0]}, "damaged"),
        ({"degradations": "rain"}, "damaged"),
        ({"degradations": ["snow", "rain"]}, "damaged"),
        ({"config": None}, "damaged"),
        ({"surprise": 1}, "damaged"),
        ({"architecture": ["nafnet"]}, "damaged"),
        ({"architecture": "futurenet"}, "unknown to this version"),
    ],
)
def test_facts_that_cannot_be_are_refused(change, message):
    text = json.dumps({**json.loads(FACTS.as_json()), **change})
    with pytest.raises(WeightsError, match=message):
        read_facts({METADATA_KEY: text}, source="x.onnx")


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_metadata_that_is_no_object_is_refused(text):
    with pytest.raises(WeightsError, match=r"x\.onnx"):
        read_facts({METADATA_KEY: text}, source="x.onnx")


def test_a_file_of_somebody_else_is_refused():
    with pytest.raises(WeightsError, match=r"not written by ldrestore.*ldrestore export MODEL OUT"):
        read_facts({"author": "somebody"}, source="x.onnx")


@pytest.mark.parametrize("content", [b"", b"no network at all", bytes(100)])
def test_a_file_that_is_no_network_is_refused(tmp_path, content):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.onnx"):
        OnnxRegressor(tmp_path / "x.onnx")


def test_a_missing_file_names_the_way_to_make_it(tmp_path):
    with pytest.raises(WeightsUnavailableError, match=r"ldrestore export MODEL x\.onnx"):
        OnnxRegressor(tmp_path / "x.onnx")


def test_without_onnxruntime_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"ldrestore\[export\]"):
        OnnxRegressor(tmp_path / "x.onnx")
