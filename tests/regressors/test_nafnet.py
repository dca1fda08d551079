"""NAFNet is the published one: the authors' implementation gave the golden outputs, see tests/parity_rule.py."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ldrestore.conversion import convert
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.nafnet import options_of_checkpoint
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"
ROWS = ("nafnet_gopro_w32", "nafnet_sidd_w32")


@pytest.mark.parametrize("name", ROWS)
def test_a_converted_checkpoint_computes_what_the_authors_code_computes(name, tmp_path):
    torch.save({"params": checkpoint(FIXTURES / f"{name}.txt")}, tmp_path / "published.pth")
    network = FastRestorePipeline.from_pretrained(convert(name, tmp_path / "published.pth", tmp_path / "out")).regressor
    golden = load_file(FIXTURES / f"{name}.safetensors")
    with torch.no_grad():
        restored = network(golden["input_0"])
    assert (restored - golden["output_0"]).abs().max() <= 1e-4 * golden["output_0"].abs().max()


@pytest.mark.parametrize("name", ROWS)
def test_keys_and_shapes_are_the_published_ones(name):
    with torch.device("meta"):
        network = create_regressor(name)
    rows = [f"{key} {'x'.join(map(str, value.shape))}" for key, value in network.state_dict().items()]
    assert sorted(rows) == sorted((FIXTURES / f"{name}.txt").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("name", [*ROWS, "nafnet_reds_w64", "squeezed_nafnet"])
def test_the_layout_is_read_off_the_shapes(name):
    with torch.device("meta"):
        network = create_regressor(name)
    found = options_of_checkpoint(network.state_dict())
    assert {key: found[key] for key in found} == {
        key: tuple(value) if isinstance(value, (list, tuple)) else value
        for key, value in network.config.items()
        if key in found
    }
