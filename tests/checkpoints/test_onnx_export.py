import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ldrestore.checkpoints.onnx_export import TOLERANCE, check, export
from ldrestore.errors import ExportError, InputError, MissingExtraError, ShapeError, WeightsError
from ldrestore.explanations.fast_explanation import explain, usage_of
from ldrestore.images.photo import Photo
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.records import RECORDED_PACKAGES
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor, record_of
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.restorers import load_restorer
from ldrestore.weights.hashes import hash_of_file, hash_of_weights
from tests.pipelines.conftest import randomised
from tests.regressors.test_contract import tiny

ARCHITECTURES = sorted({record.target: record.name for record in REGRESSORS}.values())


def shallow(name, **options):
    """A network of one level, which exports in little time."""
    options = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1], **options}
    return randomised(create_regressor(name, **options))


@pytest.fixture(scope="module")
def network():
    """A tiny network that estimates."""
    return shallow("prompted_nafnet", squeeze=4, num_prompts=3, prompt_dim=8)


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    """That network, exported."""
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    return export(network, path, name="tiny", licence="MIT")


@pytest.fixture(scope="module")
def steered():
    """A tiny network that takes an embedding."""
    return shallow("instructir", txtdim=6)


@pytest.fixture(scope="module")
def steered_file(steered, tmp_path_factory):
    """That network, exported."""
    return export(steered, tmp_path_factory.mktemp("exported") / "steered.onnx", name="steered")


@pytest.fixture(scope="module")
def looking():
    """A tiny network that takes the whole picture and hints."""
    names = ["haze", "rain"]
    return shallow("grid_nafnet", num_prompts=3, prompt_dim=8, code_dim=6, num_levels=2, degradations=names)


@pytest.fixture(scope="module")
def looking_file(looking, tmp_path_factory):
    """That network, exported."""
    return export(looking, tmp_path_factory.mktemp("exported") / "looking.onnx", name="looking")


def picture(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (8, 3)])
def test_every_size_gives_what_the_network_gives(network, file, size):
    lq = torch.rand(1, 3, *(8 * side for side in size))
    with torch.no_grad():
        expected, expected_logits = network(lq, return_estimate=True)
    restored, logits = OnnxRegressor(file)(lq, return_estimate=True)
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, expected_logits, rtol=0, atol=1e-4)


def test_the_file_alone_restores_and_says_how(network, file):
    lq = picture(33, 50, 3)
    exported = FastRestorePipeline.from_onnx(file)(lq, output_type="photo")
    expected = FastRestorePipeline(network)(lq, output_type="photo")
    pixels = [output.photos[0].pixels.astype(int) for output in (exported, expected)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1
    assert not np.array_equal(pixels[0], lq)
    np.testing.assert_allclose(
        exported.degradations[0].probabilities, expected.degradations[0].probabilities, atol=1e-4
    )
    record = exported.records[0]
    assert record["model"] == {
        "pipeline": "FastRestorePipeline",
        "name": "tiny",
        "architecture": "PromptedNAFNet",
        "weights_sha256": hash_of_weights(network),
        "onnx_sha256": hash_of_file(file),
        "head_sha256": None,
    }
    assert record["runtime"]["engine"] == "onnx"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", record["runtime"]["onnxruntime"])
    assert record["packages"].keys() == set(RECORDED_PACKAGES)
    assert expected.records[0]["runtime"]["engine"] == "local"


def test_tiles_grey_depth_and_ensembles_are_the_pipelines(network, file):
    exported, expected = FastRestorePipeline.from_onnx(file), FastRestorePipeline(network)
    for lq, options in (
        (picture(150, 70, 3), {}),
        (picture(9, 17, 1).astype(np.uint16) * 257, {}),
        (picture(20, 20, 4), {"self_ensemble": True, "fidelity": 0.5}),
    ):
        left, right = (pipeline(lq, output_type="np", **options).images[0] for pipeline in (exported, expected))
        np.testing.assert_allclose(left, right, atol=1.01 / 255)
    tiled = exported(picture(150, 70, 3), tile=64, output_type="np").images[0]  # each tile measures for itself
    assert tiled.shape == (150, 70, 3) and np.isfinite(tiled).all()


def test_the_same_picture_gives_the_same_bytes(file):
    records = [FastRestorePipeline.from_onnx(file)(picture(40, 30, 3)).records[0] for _ in range(2)]
    assert records[0] == records[1]


def test_the_plan_counts_with_the_memory_of_onnxruntime(network, file):
    exported = OnnxRegressor(file)
    assert record_of(exported).bytes_per_pixel > record_of(network).bytes_per_pixel
    assert exported.num_parameters() == network.num_parameters()
    assert exported.config["degradations"] == list(network.config["degradations"])


def test_an_embedding_is_a_second_input_and_none_is_zeros(steered, steered_file):
    exported, lq = OnnxRegressor(steered_file), torch.rand(1, 3, 32, 16)
    embedding = torch.randn(1, *steered.embedding_shape)
    with torch.no_grad():
        steered_result, plain = steered(lq, embedding=embedding), steered(lq)
    torch.testing.assert_close(exported(lq, embedding), steered_result, rtol=0, atol=1e-5)
    torch.testing.assert_close(exported(lq), plain, rtol=0, atol=1e-5)
    assert (steered_result - plain).abs().max() > 1e-4
    assert exported.embedding_shape == steered.embedding_shape
    with pytest.raises(ShapeError, match="expected embedding of shape"):
        exported(lq, embedding[:, :2])
    with pytest.raises(InputError, match="estimates nothing"):
        exported(lq, return_estimate=True)
    exported.facts = dataclasses.replace(exported.facts, is_embedding_needed=True)
    with pytest.raises(InputError, match="needs an embedding"):
        exported(lq)


@torch.no_grad()
@pytest.mark.parametrize("size", [(16, 16), (48, 208)])
@pytest.mark.parametrize("copy_size", [(1, 1), (3, 128), (128, 83)])
def test_a_tile_is_restored_upon_the_look_that_it_is_given(looking, looking_file, size, copy_size):
    lq, whole, hints = torch.rand(1, 3, *size), torch.rand(1, 3, *copy_size), torch.rand(1, 4)
    exported, window = OnnxRegressor(looking_file), torch.tensor([[0.1, 0.3, 0.6, 0.9]])
    options = {"whole": whole, "window": window, "hints": hints, "return_estimate": True}
    expected, expected_logits = looking(lq, **options)
    restored, logits = exported(lq, **options)
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, expected_logits, rtol=0, atol=1e-4)
    for changed in ({"whole": whole**2}, {"hints": 1 - hints}):
        assert (exported(lq, **{**options, **changed})[0] - restored).abs().max() > 1e-5


@torch.no_grad()
def test_a_picture_beyond_the_reduced_side_is_looked_at_in_its_copy(looking, looking_file):
    lq = torch.rand(1, 3, 144, 304) ** 2
    torch.testing.assert_close(OnnxRegressor(looking_file)(lq), looking(lq), rtol=0, atol=1e-5)


def test_its_file_restores_as_the_network_and_estimates_that_nothing_is_wrong(looking, looking_file):
    exported, expected = (
        pipeline(picture(150, 200, 3), output_type="np", degradations="haze=0.5")
        for pipeline in (FastRestorePipeline.from_onnx(looking_file), FastRestorePipeline(looking))
    )
    np.testing.assert_allclose(exported.images[0], expected.images[0], atol=1.01 / 255)  # both are rounded to 8 bits
    assert exported.degradations[0].names == ("haze", "rain", "clean")
    np.testing.assert_allclose(
        exported.degradations[0].probabilities, expected.degradations[0].probabilities, atol=1e-4
    )
    dimensions = [part.type.tensor_type.shape.dim for part in onnx.load(looking_file).graph.input]
    assert [[side.dim_value for side in sides] for sides in dimensions] == [[1, 3, 0, 0], [1, 3, 0, 0], [1, 4], [1, 4]]


@pytest.mark.parametrize("shape", [(1, 3, 17, 16), (2, 3, 16, 16), (1, 1, 16, 16), (3, 16, 16)])
def test_wrong_shapes_are_refused(file, shape):
    with pytest.raises(ShapeError, match=r"multiples of 8.*pad_to_multiple"):
        OnnxRegressor(file)(torch.rand(shape))


def test_an_embedding_for_a_network_without_is_refused(file):
    with pytest.raises(InputError, match="takes no embedding"):
        OnnxRegressor(file)(torch.rand(1, 3, 16, 16), torch.rand(1, 6))


@pytest.mark.parametrize(
    ("text", "kind"), [("Failed to allocate memory for requested buffer", MemoryError), ("a node failed", WeightsError)]
)
def test_what_onnxruntime_says_becomes_an_error_of_its_kind(file, text, kind):
    class Session:
        def run(self, *_):
            raise Exception(text)

    exported = OnnxRegressor(file)
    exported._session = Session()
    with pytest.raises(kind, match=text):
        exported(torch.rand(1, 3, 16, 16))


def test_the_file_is_one_sound_network_that_tells_nothing_of_this_disk(file):
    onnx.checker.check_model(str(file), full_check=True)
    assert list(file.parent.iterdir()) == [file]
    assert str(Path(__file__).parent.parent).encode() not in file.read_bytes()
    dimensions = onnx.load(file).graph.input[0].type.tensor_type.shape.dim
    assert [bool(dimension.dim_param) for dimension in dimensions] == [False, False, True, True]


def test_an_existing_file_stays_unless_asked_and_the_same_bytes_come_again(network, file):
    before = file.read_bytes()
    with pytest.raises(InputError, match="exists"):
        export(network, file, name="tiny", licence="MIT")
    assert file.read_bytes() == before
    export(network, file, name="tiny", licence="MIT", overwrite=True)
    assert file.read_bytes() == before


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_cut_file_is_refused(file, tmp_path, kept):
    content = file.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: round(kept * len(content))])
    with pytest.raises(WeightsError, match=r"cut\.onnx"):
        load_restorer(tmp_path / "cut.onnx")


def test_a_network_that_is_not_ours_or_not_what_it_tells_is_refused(file, tmp_path):
    model = onnx.load(file)
    other = onnx.load(file)
    other.graph.input[0].name = "picture"
    for node in other.graph.node:
        node.input[:] = ["picture" if name == "lq" else name for name in node.input]
    del model.metadata_props[:]
    for name, changed, message in (("bare", model, "not written by ldrestore"), ("other", other, "inputs and outputs")):
        onnx.save(changed, tmp_path / f"{name}.onnx")
        with pytest.raises(WeightsError, match=message):
            FastRestorePipeline.from_onnx(tmp_path / f"{name}.onnx")


@pytest.mark.parametrize("name", ["x.pt", "x", "missing/x.onnx"])
def test_a_place_that_cannot_take_the_file_is_refused(network, tmp_path, name):
    with pytest.raises(InputError, match=r"\.onnx|no folder"):
        export(network, tmp_path / name, name="tiny")


def test_a_network_that_is_not_ready_is_refused(tmp_path):
    for unready in (shallow("nafnet").half(), shallow("nafnet").train()):
        with pytest.raises(InputError, match="evaluation mode"):
            export(unready, tmp_path / "x.onnx", name="tiny")


def test_without_the_exporter_the_extra_is_named(network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"onnxscript.*ldrestore\[export\]"):
        export(network, tmp_path / "x.onnx", name="tiny")


class Undecided(torch.nn.Module):
    """Goes a way that depends on the picture."""

    def forward(self, hidden_states):
        return hidden_states if hidden_states.sum() > 0 else -hidden_states


class Changing(torch.nn.Module):
    """Does something else when it is exported."""

    def forward(self, hidden_states):
        return hidden_states + (1 if torch.compiler.is_exporting() else 0)


@pytest.mark.parametrize(
    ("middle", "message"), [(Undecided(), "cannot be exported"), (Changing(), "computes something else")]
)
def test_what_cannot_be_exported_is_an_error_and_leaves_nothing(tmp_path, middle, message):
    network = shallow("nafnet")
    network.middle_blks = middle
    with pytest.raises(ExportError, match=f"NAFNet {message}"):
        export(network, tmp_path / "x.onnx", name="tiny")
    assert list(tmp_path.iterdir()) == []


def test_what_onnxruntime_cannot_compute_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, inputs):
        raise WeightsError("onnxruntime cannot compute it; export it again") from RuntimeError("Einsum does not fit")

    monkeypatch.setattr(OnnxRegressor, "_run", fail)
    with pytest.raises(ExportError, match=r"NAFNet cannot be exported .* Einsum does not fit\); restore with it"):
        export(shallow("nafnet"), tmp_path / "x.onnx", name="tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_exports_or_says_that_it_cannot(name, tmp_path):
    network, path, refusal = tiny(name), tmp_path / "x.onnx", None
    try:
        export(network, path, name=name)
    except ExportError as error:
        refusal = str(error)
    if refusal is None:
        assert check(network, OnnxRegressor(path)) <= TOLERANCE
    else:
        assert type(network).__name__ in refusal
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "nafnet_sidd_w32", "restormer"])
def test_full_width_networks_stay_within_a_thousandth(name, tmp_path):
    torch.manual_seed(0)
    network = load_restorer(name, device="cpu").regressor if name == "default" else create_regressor(name).eval()
    if name != "default":
        with torch.no_grad():  # branches that start at zero are opened
            for parameter in network.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    exported = OnnxRegressor(export(network, tmp_path / "full.onnx", name=name))
    assert exported.num_parameters() == REGRESSORS.get(record_of(network).name).parameters
    for height, width in ((16, 16), (160, 112), (256, 384)):
        lq = torch.rand(1, 3, height, width)
        with torch.no_grad():
            difference = (network(lq) - exported(lq)).abs().max()
        print(name, (height, width), f"{difference:.2e}")
        assert difference <= TOLERANCE


def test_an_exported_network_that_is_to_be_explained_names_the_model_to_explain_instead(file):
    pipeline, photo = FastRestorePipeline.from_onnx(file), Photo(pixels=picture(20, 24, 3))
    for look in (explain, usage_of):
        with pytest.raises(InputError, match="explain the model that it was made of, tiny"):
            look(pipeline, photo)
