import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ldrestore.conversion import convert
from ldrestore.errors import ExportError, InputError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.instruction_encoder import HEAD_FOLDER
from ldrestore.regressors.instruction_head import InstructionHead
from ldrestore.weights.hashes import hash_of_file
from tests.regressors.test_contract import TINY as TINY_OPTIONS
from tests.tiny_instructed import tiny_network

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


def _cut(weights, signature):
    """What is left of a checkpoint: the keys by which it is told, half of it, scalars, vectors."""
    kept = {key: weights[key] for key in signature}
    yield kept
    yield dict(list(weights.items())[: len(weights) // 2]) | kept
    yield weights | {key: value.new_zeros(()) for key, value in kept.items()}
    yield {key: value.flatten() for key, value in weights.items()}


@pytest.mark.parametrize("name", ["nafnet", "restormer", "promptir", "instructir", "moce_ir", "datprl_ir", "mmfe_ir"])
def test_damaged_checkpoints_of_each_architecture_are_refused_with_a_word(name, tmp_path):
    record = REGRESSORS.get(name)
    weights = create_regressor(name, **TINY_OPTIONS[record.target]).state_dict()
    for damaged in _cut(weights, record.signature_keys):
        torch.save(damaged, tmp_path / "damaged.pth")
        with pytest.raises(WeightsError, match=r"damaged\.pth (is no whole checkpoint|is no checkpoint|does not fit)"):
            convert(name, tmp_path / "damaged.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_names_and_full_folders_are_refused(published, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'nafnet'"):
        convert("nafnett", published, tmp_path / "out")
    with pytest.raises(InputError, match="not an empty folder"):
        convert("nafnet", published, tmp_path)


@pytest.fixture
def instructed(tmp_path):
    """Files of a tiny InstructIR and its head, as the authors would publish them."""
    torch.manual_seed(0)
    torch.save(tiny_network().state_dict(), tmp_path / "im_instructir.pt")
    torch.save(InstructionHead(encoder_dim=8, txtdim=6).state_dict(), tmp_path / "lm_instructir.pt")
    return tmp_path / "im_instructir.pt", tmp_path / "lm_instructir.pt"


def test_a_network_is_converted_with_its_head(instructed, tmp_path):
    image, head = instructed
    folder = convert("instructir", image, tmp_path / "out", head=head)
    pipeline = FastRestorePipeline.from_pretrained(folder)
    for network, file in ((pipeline.regressor, image), (pipeline.instruction_head, head)):
        weights = torch.load(file, weights_only=True)
        assert network.state_dict().keys() == weights.keys()
        assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())
    assert pipeline.instruction_head.encoder_identity.name == "TaylorAI/bge-micro-v2"
    assert pipeline.instruction_head.neutral is None
    origin = json.loads((folder / "ldrestore.json").read_text(encoding="utf-8"))
    assert (origin["head_file"], origin["head_sha256"]) == ("lm_instructir.pt", hash_of_file(head))
    assert str(tmp_path) not in "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.json"))


def test_without_a_head_none_is_written(instructed, tmp_path):
    folder = convert("instructir", instructed[0], tmp_path / "out")
    assert not (folder / "instruction_head").exists()
    assert "head_file" not in json.loads((folder / "ldrestore.json").read_text(encoding="utf-8"))
    assert FastRestorePipeline.from_pretrained(folder).instruction_head is None


def test_a_head_that_does_not_belong_there_is_refused_and_nothing_written(instructed, published, tmp_path):
    image, head = instructed
    out = tmp_path / "out"
    with pytest.raises(InputError, match="nafnet takes no instruction head; leave the head out"):
        convert("nafnet", published, out, head=head)
    with pytest.raises(InputError, match="instructir_head takes no instruction head"):
        convert("instructir_head", head, out, head=head)
    with pytest.raises(WeightsError, match=r"im_instructir\.pt is no text head of InstructIR"):
        convert("instructir", image, out, head=image)
    with pytest.raises(WeightsUnavailableError, match=r"no checkpoint at .*absent\.pt"):
        convert("instructir", image, out, head=tmp_path / "absent.pt")
    torch.save(InstructionHead(encoder_dim=8, txtdim=7).state_dict(), tmp_path / "wide.pt")
    with pytest.raises(WeightsError, match="use the head that it was trained with"):
        convert("instructir", image, out, head=tmp_path / "wide.pt")
    with pytest.raises(WeightsError, match="unexpected neutral"):  # a head of ours, which the release never saw
        convert("instructir", image, out, head=HEAD_FOLDER / "diffusion_pytorch_model.safetensors")
    (tmp_path / "cut.pt").write_bytes(head.read_bytes()[:300])
    with pytest.raises(WeightsError, match="cannot be read as weights alone"):
        convert("instructir", image, out, head=tmp_path / "cut.pt")
    assert not out.exists()


def test_weights_that_changed_since_their_conversion_are_refused(published, tmp_path):
    folder = convert("nafnet", published, tmp_path / "out")
    path = folder / "regressor" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["intro.bias"] = weights["intro.bias"] + 1
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"not those that were converted, as ldrestore\.json says"):
        FastRestorePipeline.from_pretrained(folder)


def test_a_folder_that_cannot_be_written_is_one_line(published, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ExportError, match=r"file/out cannot be written \(.*\); make room, or name a folder") as caught:
        convert("nafnet", published, tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)


def test_a_conversion_that_ends_in_the_middle_leaves_nothing(published, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ldrestore.checkpoints.conversion.write_json", fail)
    with pytest.raises(ExportError, match="cannot be written"):
        convert("nafnet", published, tmp_path / "made" / "out")
    assert list((tmp_path / "made").iterdir()) == []
