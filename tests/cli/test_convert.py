import json
import os

import torch

from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.instruction_head import InstructionHead
from tests.tiny_instructed import tiny_network


def test_a_checkpoint_becomes_a_model_that_restores(call, folder, tmp_path):
    torch.manual_seed(0)
    network = create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    torch.save({"params": network.state_dict()}, tmp_path / "weights.pth")
    result = call("convert", "nafnet", tmp_path / "weights.pth", tmp_path / "model")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'model'}\n"
    words = ("--model", tmp_path / "model", "--device", "cpu")
    assert call("restore", folder / "a.png", tmp_path / "x.png", *words).exit_code == 0


def test_an_instructir_is_converted_with_its_head(call, tmp_path):
    torch.save(tiny_network().state_dict(), tmp_path / "image.pt")
    head = InstructionHead(encoder_dim=8, txtdim=6)
    torch.save(head.state_dict(), tmp_path / "head.pt")
    result = call("convert", "instructir", tmp_path / "image.pt", tmp_path / "model", "--head", tmp_path / "head.pt")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(call("info", tmp_path / "model", "--json").stdout)
    assert facts["instructions"]["sentence_encoder"] == "TaylorAI/bge-micro-v2"
    result = call("convert", "nafnet", tmp_path / "image.pt", tmp_path / "other", "--head", tmp_path / "head.pt")
    assert result.exit_code == 2
    assert "nafnet takes no instruction head" in result.stderr


def test_an_unknown_architecture_is_a_wrong_call(call, tmp_path):
    result = call("convert", "nafnett", tmp_path / "weights.pth", tmp_path / "model")
    assert result.exit_code == 2
    assert "did you mean 'nafnet'" in result.stderr
    result = call("convert", "faithdif", tmp_path / "weights.pth", tmp_path / "model")
    assert result.exit_code == 2
    assert "did you mean 'faithdiff'" in result.stderr


def test_a_file_that_is_no_checkpoint_is_an_error(call, tmp_path):
    (tmp_path / "weights.pth").write_text("nothing")
    result = call("convert", "nafnet", tmp_path / "weights.pth", tmp_path / "model")
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert not (tmp_path / "model").exists()


def test_a_folder_of_any_name_is_told_on_one_line(call, tmp_path) -> None:
    network = create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    torch.save({"params": network.state_dict()}, tmp_path / "weights.pth")
    for name in (os.fsdecode(b"mod\xe8le"), "line\nbreak", "red\x1b[31m"):
        result = call("convert", "nafnet", tmp_path / "weights.pth", tmp_path / name)
        assert result.exit_code == 0, result.stderr
        assert len(result.stdout.splitlines()) == 1 and result.stdout.strip().isprintable()
        assert (tmp_path / name / "model_index.json").is_file()
