import json

import pytest
import torch

from ldrestore.conversion import convert
from ldrestore.errors import InputError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.weights import hash_of_file

TINY = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1, 2], "dec_blk_nums": [2, 1]}


@pytest.fixture
def published(tmp_path):
    """A tiny checkpoint as the authors would publish it."""
    torch.manual_seed(0)
    network = create_regressor("nafnet", **TINY)
    torch.save({"params": network.state_dict()}, tmp_path / "NAFNet-tiny.pth")
    return tmp_path / "NAFNet-tiny.pth"


def test_a_converted_folder_loads_with_the_detected_sizes(published, tmp_path):
    folder = convert("nafnet", published, tmp_path / "out")
    assert folder == tmp_path / "out"
    network = FastRestorePipeline.from_pretrained(folder).regressor
    assert {key: network.config[key] for key in TINY} == TINY
    weights = torch.load(published, weights_only=True)["params"]
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_a_converted_folder_holds_safetensors_config_and_origin(published, tmp_path):
    folder = convert("nafnet", published, tmp_path / "out")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {
        "model_index.json",
        "ldrestore.json",
        "regressor/config.json",
        "regressor/diffusion_pytorch_model.safetensors",
    } <= files
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == "FastRestorePipeline"
    assert index["regressor"] == ["ldrestore.regressors.nafnet", "NAFNet"]
    origin = json.loads((folder / "ldrestore.json").read_text(encoding="utf-8"))
    assert (origin["architecture"], origin["source_file"]) == ("nafnet", "NAFNet-tiny.pth")
    assert origin["source_sha256"] == hash_of_file(published)
    assert origin["weights_licence"] == "MIT"
    assert str(tmp_path) not in "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.json"))


def test_a_variant_refuses_another_layout_and_names_the_right_one(tmp_path):
    network = create_regressor("nafnet", width=32, middle_blk_num=1, enc_blk_nums=[1, 1, 1, 28], dec_blk_nums=[1] * 4)
    torch.save(network.state_dict(), tmp_path / "gopro.pth")
    with pytest.raises(WeightsError, match=r"another layout than nafnet_sidd_w32.*it is nafnet_gopro_w32"):
        convert("nafnet_sidd_w32", tmp_path / "gopro.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_foreign_or_incomplete_checkpoint_is_refused_and_nothing_written(published, tmp_path):
    torch.save({"conv.weight": torch.ones(1)}, tmp_path / "foreign.pth")
    weights = torch.load(published, weights_only=True)["params"]
    del weights["ups.0.0.weight"]
    torch.save(weights, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match="no checkpoint of nafnet"):
        convert("nafnet", tmp_path / "foreign.pth", tmp_path / "out")
    with pytest.raises(WeightsError, match=r"missing ups\.0\.0\.weight"):
        convert("nafnet", tmp_path / "cut.pth", tmp_path / "out")
    with pytest.raises(WeightsUnavailableError):
        convert("nafnet", tmp_path / "absent.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_names_and_full_folders_are_refused(published, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'nafnet'"):
        convert("nafnett", published, tmp_path / "out")
    with pytest.raises(InputError, match="not an empty folder"):
        convert("nafnet", published, tmp_path)
