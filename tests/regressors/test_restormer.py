"""Restormer and PromptIR are the published ones: the authors' implementations gave the golden outputs."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.restormer import options_of_checkpoint
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"
TINY = {"dim": 4, "num_blocks": [1, 2, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 2, 4]}


@pytest.mark.parametrize(
    ("architecture", "row"),
    [("restormer", "restormer"), ("restormer", "restormer_biasfree"), ("restormer_biasfree", "restormer_biasfree")],
)
def test_a_converted_checkpoint_computes_what_the_authors_code_computes(architecture, row, tmp_path):
    torch.save({"params": checkpoint(FIXTURES / f"{row}.txt")}, tmp_path / "published.pth")
    folder = convert(architecture, tmp_path / "published.pth", tmp_path / "out")
    network = FastRestorePipeline.from_pretrained(folder).regressor
    golden = load_file(FIXTURES / f"{row}.safetensors")
    with torch.no_grad():
        restored = network(golden["input_0"])
    assert (restored - golden["output_0"]).abs().max() <= 1e-4 * golden["output_0"].abs().max()


def test_a_denoiser_under_the_name_of_the_other_layout_is_refused(tmp_path):
    torch.save(create_regressor("restormer_biasfree", **TINY).state_dict(), tmp_path / "denoiser.pth")
    folder = convert("restormer", tmp_path / "denoiser.pth", tmp_path / "any")
    assert FastRestorePipeline.from_pretrained(folder).regressor.config["LayerNorm_type"] == "BiasFree"
    torch.save(create_regressor("restormer", **TINY).state_dict(), tmp_path / "derainer.pth")
    with pytest.raises(WeightsError, match="another layout than restormer_biasfree"):
        convert("restormer_biasfree", tmp_path / "derainer.pth", tmp_path / "refused")


def test_two_views_of_a_sensor_give_one_picture():
    torch.manual_seed(0)
    network = create_regressor("restormer", **TINY, inp_channels=6, dual_pixel_task=True)
    assert network(torch.rand(1, 6, 9, 10)).shape == (1, 3, 9, 10)
    assert options_of_checkpoint(network.state_dict())["dual_pixel_task"]


def test_the_layout_is_read_off_the_shapes():
    network = create_regressor("restormer", **TINY, bias=True, ffn_expansion_factor=3.1)
    found = options_of_checkpoint(network.state_dict())
    again = create_regressor("restormer", **found)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }


def test_sizes_that_make_no_network_are_refused():
    with pytest.raises(ConfigError, match="four levels"):
        create_regressor("restormer", num_blocks=[1, 1])
    with pytest.raises(ConfigError, match="cannot be added"):
        create_regressor("restormer", inp_channels=6)
