"""InstructIR is the published one: the authors' implementation gave the golden output, see tests/parity_rule.py."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError, InputError, ShapeError, WeightsError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.instructir import options_of_checkpoint
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"
SMALL = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": (1, 2), "dec_blk_nums": (2, 1), "txtdim": 6}


def small(**overrides):
    torch.manual_seed(0)
    network = create_regressor("instructir", **SMALL, **overrides).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def test_a_converted_checkpoint_computes_what_the_authors_code_computes(tmp_path):
    torch.save(checkpoint(FIXTURES / "instructir.txt"), tmp_path / "im_instructir-7d.pt")
    folder = convert("instructir", tmp_path / "im_instructir-7d.pt", tmp_path / "out")
    network = FastRestorePipeline.from_pretrained(folder).regressor
    golden = load_file(FIXTURES / "instructir.safetensors")
    with torch.no_grad():
        restored = network(golden["input_0"], golden["input_1"])
    assert (restored - golden["output_0"]).abs().max() <= 1e-4 * golden["output_0"].abs().max()


def test_keys_shapes_and_size_are_the_published_ones():
    with torch.device("meta"):
        network = create_regressor("instructir")
    rows = [f"{key} {'x'.join(map(str, value.shape))}" for key, value in network.state_dict().items()]
    assert sorted(rows) == sorted((FIXTURES / "instructir.txt").read_text(encoding="utf-8").splitlines())
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, 3) == 15.843


@pytest.mark.parametrize(
    "overrides", [{}, {"with_text": False}, {"img_channel": 1}, {"img_channel": 4}, {"img_channel": 6}]
)
def test_the_layout_is_read_off_the_shapes(overrides):
    network = small(**overrides)
    found = options_of_checkpoint(network.state_dict())
    assert found == {key: network.config[key] for key in found}
    assert found["with_text"] is network.config["with_text"]
    assert set(found) >= {"img_channel", "width", "middle_blk_num", "enc_blk_nums", "dec_blk_nums"}


def test_at_initialisation_only_the_residual_of_the_last_convolution_is_left():
    network = create_regressor("instructir", **SMALL).eval()
    with torch.no_grad():
        network.ending.weight.zero_()
        network.ending.bias.zero_()
        lq = torch.rand(1, 3, 5, 7)
        assert torch.equal(network(lq, torch.randn(1, 6)), lq)


def test_no_embedding_is_the_one_that_says_nothing():
    network, lq = small(), torch.rand(2, 3, 9, 6)
    with torch.no_grad():
        assert torch.equal(network(lq), network(lq, torch.zeros(2, 6)))


def test_without_text_there_are_the_same_blocks_and_no_masks(tmp_path):
    network, plain = small(), small(with_text=False)
    left_out = network.state_dict().keys() - plain.state_dict().keys()
    assert left_out == {key for key in network.state_dict() if ".fc." in key}
    plain.load_state_dict({key: value for key, value in network.state_dict().items() if key not in left_out})
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if ".fc." in key:  # sigmoid(100) is 1
                parameter.fill_(100.0 if key.endswith("bias") else 0.0)
        lq = torch.rand(1, 3, 9, 6)
        torch.testing.assert_close(plain(lq), network(lq))
    with pytest.raises(InputError, match="built with_text=False and takes no embedding"):
        plain(lq, torch.zeros(1, 6))
    torch.save(plain.state_dict(), tmp_path / "plain.pt")
    folder = convert("instructir", tmp_path / "plain.pt", tmp_path / "out")
    assert FastRestorePipeline.from_pretrained(folder).regressor.config["with_text"] is False


@pytest.mark.parametrize("shape", [(2, 5), (3, 6), (6,), (2, 6, 1)])
def test_embeddings_of_other_shapes_are_refused(shape):
    with pytest.raises(ShapeError, match=r"expected embedding of shape \(2, 6\), got"):
        small()(torch.rand(2, 3, 8, 8), torch.rand(shape))


def test_wrong_sizes_and_foreign_checkpoints_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="equally long"):
        create_regressor("instructir", enc_blk_nums=(1, 1), dec_blk_nums=(1,))
    with pytest.raises(ConfigError, match="must be positive, got 3, 0, 256"):
        create_regressor("instructir", width=0)
    nafnet = create_regressor("nafnet", width=4, middle_blk_num=1, enc_blk_nums=(1,), dec_blk_nums=(1,))
    torch.save(nafnet.state_dict(), tmp_path / "nafnet.pth")
    with pytest.raises(WeightsError, match=r"no checkpoint of instructir: it has no enc_cond\.0\.gamma"):
        convert("instructir", tmp_path / "nafnet.pth", tmp_path / "out")
