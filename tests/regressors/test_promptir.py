"""PromptIR is the published one: the authors' implementation gave the golden output."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.promptir import PromptGeneration, options_of_checkpoint
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"


def test_a_converted_checkpoint_computes_what_the_authors_code_computes(tmp_path):
    published = {f"net.{key}": value for key, value in checkpoint(FIXTURES / "promptir.txt").items()}
    torch.save({"state_dict": published}, tmp_path / "model.ckpt")
    folder = convert("promptir", tmp_path / "model.ckpt", tmp_path / "out")
    network = FastRestorePipeline.from_pretrained(folder).regressor
    golden = load_file(FIXTURES / "promptir.safetensors")
    with torch.no_grad():
        restored = network(golden["input_0"])
    assert (restored - golden["output_0"]).abs().max() <= 1e-4 * golden["output_0"].abs().max()


def test_the_prompt_is_the_mixture_of_equation_2():
    torch.manual_seed(0)
    generation, features = PromptGeneration(6, prompt_dim=4, num_prompts=3, prompt_size=5), torch.randn(2, 6, 7, 8)
    weights = generation.linear_layer(features.mean(dim=(2, 3))).softmax(dim=1)
    for picture in range(2):
        mixed = sum(weights[picture, index] * generation.prompt_param[0, index] for index in range(3))
        resized = F.interpolate(mixed[None], (7, 8), mode="bilinear")
        torch.testing.assert_close(generation(features)[picture], generation.conv3x3(resized)[0])


def test_what_the_forward_pass_never_uses_is_not_trained():
    network = create_regressor("promptir", dim=4, num_blocks=[1] * 4, heads=[1, 1, 2, 4], prompt_dims=[2, 4, 8])
    frozen = {key for key, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == {
        *(f"chnl_reduce{number}.weight" for number in (1, 2, 3)),
        *(f"reduce_noise_channel_{number}.weight" for number in (1, 2, 3)),
    }


def test_the_layout_is_read_off_the_shapes():
    with torch.device("meta"):
        network = create_regressor("promptir")
    found = options_of_checkpoint(network.state_dict())
    assert {key: network.config[key] for key in found} == {
        key: list(value) if isinstance(network.config[key], list) else value for key, value in found.items()
    }


@pytest.mark.parametrize("expansion", [1.2, 2.4, 2.66, 3.28, 3.77])
@pytest.mark.parametrize("prompt_dims", [[8, 4, 12], [2, 20, 8]])
def test_the_expansion_is_read_off_the_widest_blocks_too(expansion: float, prompt_dims: list[int]) -> None:
    options = {"dim": 4, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1, 1, 2, 4]}
    with torch.device("meta"):
        network = create_regressor("promptir", **options, prompt_dims=prompt_dims, ffn_expansion_factor=expansion)
        again = create_regressor("promptir", **options_of_checkpoint(network.state_dict()))
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }


def test_sizes_that_make_no_network_are_refused():
    with pytest.raises(ConfigError, match="three prompt_dims"):
        create_regressor("promptir", prompt_dims=[8, 8])
