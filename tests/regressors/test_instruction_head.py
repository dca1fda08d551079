"""The head is the published one: the authors' implementation gave the golden outputs, see tests/parity_rule.py."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError, InputError, ShapeError, WeightsError, WeightsUnavailableError
from ldrestore.guides.sentence_encoder import EncoderIdentity, SentenceEncoder
from ldrestore.regressors.instruction_head import CLASSES, InstructionHead, load_instruction_head
from tests.parity_rule import checkpoint
from tests.tiny_encoder import write_tiny_encoder

FIXTURES = Path(__file__).parent / "fixtures"
PUBLISHED = EncoderIdentity("TaylorAI/bge-micro-v2", "0" * 64)


@pytest.fixture
def published(tmp_path):
    torch.save(checkpoint(FIXTURES / "instructir_head.txt"), tmp_path / "lm_instructir-7d.pt")
    return tmp_path / "lm_instructir-7d.pt"


def test_a_converted_checkpoint_computes_what_the_authors_code_computes(published, tmp_path):
    head = load_instruction_head(convert("instructir_head", published, tmp_path / "out"))
    golden = load_file(FIXTURES / "instructir_head.safetensors")
    with torch.no_grad():
        outputs = head(golden["input_0"])
    for output, name in zip(outputs, ("output_0", "output_1"), strict=True):
        assert (output - golden[name]).abs().max() <= 1e-4 * golden[name].abs().max()


def test_a_converted_head_knows_its_encoder_and_classes(published, tmp_path):
    folder = convert("instructir_head", published, tmp_path / "out")
    head = load_instruction_head(folder)
    assert head.encoder_identity == EncoderIdentity("TaylorAI/bge-micro-v2", None)
    assert tuple(head.config["classes"]) == CLASSES
    assert '"weights_licence": "MIT"' in (folder / "ldrestore.json").read_text(encoding="utf-8")


def test_keys_and_shapes_are_the_published_ones():
    rows = [f"{key} {'x'.join(map(str, value.shape))}" for key, value in InstructionHead().state_dict().items()]
    assert rows == (FIXTURES / "instructir_head.txt").read_text(encoding="utf-8").splitlines()


def test_other_checkpoints_are_refused_and_nothing_written(published, tmp_path):
    torch.save({"conv.weight": torch.ones(1)}, tmp_path / "foreign.pt")
    with pytest.raises(WeightsError, match=r"foreign\.pt is no text head of InstructIR"):
        convert("instructir_head", tmp_path / "foreign.pt", tmp_path / "out")
    weights = torch.load(published, weights_only=True)
    torch.save({**weights, "fc2.weight": torch.ones(4, 256), "fc2.bias": torch.ones(4)}, tmp_path / "four.pt")
    with pytest.raises(WeightsError, match=r"fc2\.weight is \(4, 256\), expected \(7, 256\)"):
        convert("instructir_head", tmp_path / "four.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="not an empty folder"):
        convert("instructir_head", published, tmp_path)


def test_it_follows_the_equations():
    head, sentences = InstructionHead(encoder_dim=5, txtdim=3, classes=("a", "b")), torch.randn(2, 5)
    embedding, logits = head(sentences)
    hidden = sentences @ head.fc1.weight.T + head.fc1.bias
    torch.testing.assert_close(embedding, hidden / hidden.square().sum(dim=1, keepdim=True).sqrt())
    torch.testing.assert_close(logits, embedding @ head.fc2.weight.T + head.fc2.bias)


def test_another_encoder_is_refused():
    head = InstructionHead()
    head.check_encoder(PUBLISHED, dim=384)
    head.check_encoder(EncoderIdentity("bge-micro-v2", "1" * 64), dim=384)
    with pytest.raises(
        WeightsError, match=r"reads vectors of TaylorAI/bge-micro-v2, 384 wide, got those of a/b \(sha256 0"
    ):
        head.check_encoder(EncoderIdentity("a/b", "0" * 64), dim=384)
    with pytest.raises(WeightsError, match="512 wide"):
        head.check_encoder(PUBLISHED, dim=512)
    pinned = InstructionHead(encoder_sha256="0" * 64)
    pinned.check_encoder(EncoderIdentity("renamed", "0" * 64), dim=384)
    with pytest.raises(WeightsError):
        pinned.check_encoder(EncoderIdentity("TaylorAI/bge-micro-v2", "1" * 64), dim=384)


def test_the_identity_survives_saving(tmp_path):
    InstructionHead("a/b", "0" * 64).save_pretrained(tmp_path)
    assert load_instruction_head(tmp_path).encoder_identity == EncoderIdentity("a/b", "0" * 64)


def test_folders_that_hold_no_whole_head_are_refused(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="no folder"):
        load_instruction_head(tmp_path / "absent")
    InstructionHead().save_pretrained(tmp_path)
    weights = InstructionHead().state_dict()
    del weights["fc2.bias"]
    save_file(weights, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(WeightsError, match=r"missing fc2\.bias"):
        load_instruction_head(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "classes": []}), encoding="utf-8")
    with pytest.raises(WeightsError, match="its config builds no InstructionHead"):
        load_instruction_head(tmp_path)
    (tmp_path / "config.json").write_text('{"_class_name": "NAFNet"}', encoding="utf-8")
    with pytest.raises(WeightsError, match="holds a NAFNet, expected an InstructionHead"):
        load_instruction_head(tmp_path)


def test_wrong_shapes_and_sizes_are_refused():
    with pytest.raises(ShapeError, match=r"expected sentences of shape \(B, 384\), got \(384,\)"):
        InstructionHead()(torch.zeros(384))
    with pytest.raises(ConfigError, match="two or more classes"):
        InstructionHead(classes=("noise",))


def test_a_neutral_instruction_is_kept_with_the_weights(tmp_path):
    encoder = SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path / "tiny"))
    head = InstructionHead("tiny", encoder.identity.sha256, encoder.dim, 6)
    assert head.neutral is None and "neutral" not in head.state_dict()
    head.set_neutral(encoder, "please restore")
    torch.testing.assert_close(head.neutral, head(encoder(["please restore"]))[0][0].detach())
    head.save_pretrained(tmp_path / "head")
    loaded = load_instruction_head(tmp_path / "head")
    assert torch.equal(loaded.neutral, head.neutral)
    assert loaded.config["neutral_text"] == "please restore"
    other = SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path / "other", seed=1))
    with pytest.raises(WeightsError, match="this head reads vectors of tiny"):
        head.set_neutral(other)


def test_a_loaded_head_saved_again_names_no_path_of_this_disk(tmp_path):
    InstructionHead(encoder_dim=5, txtdim=3).save_pretrained(tmp_path / "head")
    load_instruction_head(tmp_path / "head").save_pretrained(tmp_path / "again")
    assert str(tmp_path) not in (tmp_path / "again/config.json").read_text(encoding="utf-8")
