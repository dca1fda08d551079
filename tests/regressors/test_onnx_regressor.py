import dataclasses
import json
import sys

import onnx
import pytest
import torch

from ldrestore.errors import InputError, MissingExtraError, ShapeError, WeightsError, WeightsUnavailableError
from ldrestore.regressors.factory import record_of
from ldrestore.regressors.onnx_regressor import (
    EXPORT_FORMAT,
    EXPORT_METADATA_KEY,
    ExportedFacts,
    OnnxRegressor,
    read_facts,
)

FACTS = ExportedFacts(
    format=EXPORT_FORMAT,
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
    takes_whole=False,
    num_hints=None,
)
LIFTING_FACTS = dataclasses.replace(
    FACTS,
    architecture="grid_nafnet",
    network="GridNAFNet",
    degradations=["rain", "snow", "clean"],
    takes_whole=True,
    num_hints=4,
)
SIDES = {"lq": [1, 3, "H", "W"], "whole": [1, 3, "h", "w"], "window": [1, 4], "hints": [1, 4]}


def as_before(facts):
    """The facts as format 1 wrote them, JSON."""
    content = {**json.loads(facts.as_json()), "format": 1}
    return json.dumps({name: value for name, value in content.items() if name not in ("takes_whole", "num_hints")})


def lifting_file(path, text=None, input_names=tuple(SIDES)):
    """A file that adds to lq the mean of the whole and the sums of the other inputs, with these facts."""
    made = onnx.helper
    lifts = [name for name in input_names if name != "lq"]
    nodes = [
        made.make_node("ReduceMean" if name == "whole" else "ReduceSum", [name], [f"{name}_lift"], keepdims=0)
        for name in lifts
    ]
    nodes.append(made.make_node("Sum", ["lq", *(f"{name}_lift" for name in lifts)], ["restored"]))
    logits = made.make_tensor("value", onnx.TensorProto.FLOAT, [1, 3], [0.0, 1.0, -1.0])
    nodes.append(made.make_node("Constant", [], ["logits"], value=logits))
    inputs, outputs = (
        [made.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        for shapes in ({name: SIDES[name] for name in input_names}, {"restored": SIDES["lq"], "logits": [1, 3]})
    )
    graph = made.make_graph(nodes, "lifting", inputs, outputs)
    model = made.make_model(graph, opset_imports=[made.make_opsetid("", 18)], ir_version=10)
    made.set_model_props(model, {EXPORT_METADATA_KEY: text or LIFTING_FACTS.as_json()})
    onnx.save(model, path)
    return path


def test_facts_come_back_as_they_went_in():
    assert read_facts({EXPORT_METADATA_KEY: FACTS.as_json()}, source="x.onnx") == FACTS
    steered = dataclasses.replace(FACTS, degradations=None, embedding_shape=[3, 8])
    assert read_facts({EXPORT_METADATA_KEY: steered.as_json()}, source="x.onnx") == steered


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
        ({"degradations": ["rain"]}, "damaged"),
        ({"takes_whole": 1}, "damaged"),
        ({"num_hints": 0}, "damaged"),
        ({"format": [1]}, "another format"),
        ({"architecture": ["nafnet"]}, "damaged"),
        ({"architecture": "futurenet"}, "unknown to this version"),
    ],
)
def test_facts_that_cannot_be_are_refused(change, message):
    text = json.dumps({**json.loads(FACTS.as_json()), **change})
    with pytest.raises(WeightsError, match=message):
        read_facts({EXPORT_METADATA_KEY: text}, source="x.onnx")


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_metadata_that_is_no_object_is_refused(text):
    with pytest.raises(WeightsError, match=r"x\.onnx"):
        read_facts({EXPORT_METADATA_KEY: text}, source="x.onnx")


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


def test_facts_of_the_format_before_are_read():
    facts = read_facts({EXPORT_METADATA_KEY: as_before(FACTS)}, source="x.onnx")
    assert facts == dataclasses.replace(FACTS, format=1)


def test_the_look_and_hints_are_inputs_of_their_own(tmp_path):
    exported, lq = OnnxRegressor(lifting_file(tmp_path / "x.onnx")), torch.rand(1, 3, 8, 16)
    record = record_of(exported)
    assert record.takes_whole and record.takes_hints and record.gives_estimate
    assert exported.estimate_names == ("rain", "snow", "clean")
    whole, window = torch.full((1, 3, 50, 70), 0.25), torch.tensor([[0.0, 0.5, 0.5, 1.0]])
    restored, logits = exported(lq, whole=whole, window=window, hints=torch.ones(1, 4), return_estimate=True)
    torch.testing.assert_close(restored, lq + 0.25 + 2 + 4)
    assert logits.shape == (1, 3)


def test_a_picture_alone_is_the_whole_and_none_are_hints_of_zeros(tmp_path):
    exported, lq = OnnxRegressor(lifting_file(tmp_path / "x.onnx")), torch.rand(1, 3, 256, 512)
    torch.testing.assert_close(exported(lq), lq + lq.mean() + 2)


@pytest.mark.parametrize(
    ("name", "shape"), [("whole", (1, 3, 8)), ("whole", (2, 3, 8, 8)), ("window", (4,)), ("hints", (1, 3))]
)
def test_a_look_or_hints_of_another_shape_are_refused(tmp_path, name, shape):
    exported = OnnxRegressor(lifting_file(tmp_path / "x.onnx"))
    with pytest.raises(ShapeError, match=f"expected {name} of shape"):
        exported(torch.rand(1, 3, 8, 8), **{name: torch.rand(shape)})


def test_a_file_of_before_restores_and_takes_neither_look_nor_hints(tmp_path):
    text = as_before(dataclasses.replace(LIFTING_FACTS, degradations=None))
    with pytest.raises(WeightsError, match="inputs and outputs"):  # it tells of no estimate
        OnnxRegressor(lifting_file(tmp_path / "x.onnx", text, ("lq",)))
    text = as_before(dataclasses.replace(LIFTING_FACTS, config={"degradations": ["rain", "snow", "haze"]}))
    text = text.replace('"degradations": ["rain", "snow", "clean"]', '"degradations": ["rain", "snow", "haze"]')
    exported, lq = OnnxRegressor(lifting_file(tmp_path / "x.onnx", text, ("lq",))), torch.rand(1, 3, 8, 8)
    assert not record_of(exported).takes_whole and not record_of(exported).takes_hints
    torch.testing.assert_close(exported(lq), lq)
    for name in ("whole", "window", "hints"):
        with pytest.raises(InputError, match=f"takes no {name}"):
            exported(lq, **{name: torch.zeros(1, 4)})


def test_an_estimate_of_another_length_than_told_is_refused(tmp_path):
    text = dataclasses.replace(LIFTING_FACTS, degradations=["rain", "snow"]).as_json()
    with pytest.raises(WeightsError, match="inputs and outputs"):
        OnnxRegressor(lifting_file(tmp_path / "x.onnx", text))
