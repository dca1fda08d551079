"""NAFNet is the published one: the authors' implementation gave the golden outputs, see tests/parity_rule.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError, ShapeError
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


SMALL = {"width": 4, "middle_blk_num": 2, "enc_blk_nums": (1, 2), "dec_blk_nums": (2, 1)}


@pytest.mark.parametrize("is_affine", [False, True])
@pytest.mark.parametrize(
    ("img_channel", "squeeze"), [(1, 1), (1, 2), (1, 3), (1, 6), (3, 1), (3, 2), (3, 3), (2, 1), (6, 1), (7, 1)]
)
def test_grey_coloured_and_other_pictures_are_told_apart_by_the_shapes(
    img_channel: int, squeeze: int, is_affine: bool
) -> None:
    options = {**SMALL, "img_channel": img_channel, "squeeze": squeeze, "is_affine": is_affine}
    with torch.device("meta"):
        network = create_regressor("nafnet", **options)
    assert options_of_checkpoint(network.state_dict()) == options


def random_network(**options: Any) -> nn.Module:
    """A small network none of whose weights is zero."""
    torch.manual_seed(0)
    network = create_regressor("nafnet", **{**SMALL, **options}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def literal_u(network: nn.Module, folded: Tensor) -> Tensor:
    """Fig. 2 of Chen et al. 2022 for two levels: down, down, middle, up, up, with skips added."""
    fine = network.encoders[0](network.intro(folded))
    coarse = network.encoders[1](network.downs[0](fine))
    hidden = network.middle_blks(network.downs[1](coarse))
    hidden = network.decoders[0](F.pixel_shuffle(network.ups[0][0](hidden), 2) + coarse)
    hidden = network.decoders[1](F.pixel_shuffle(network.ups[1][0](hidden), 2) + fine)
    return network.ending(hidden)


@pytest.mark.parametrize(("img_channel", "squeeze"), [(3, 1), (1, 1), (3, 2), (1, 3)])
@pytest.mark.parametrize("size", [(12, 24), (11, 13), (1, 2)])
def test_folded_pictures_and_gains_follow_their_equations(
    img_channel: int, squeeze: int, size: tuple[int, int]
) -> None:
    network = random_network(img_channel=img_channel, squeeze=squeeze, is_affine=True)
    height, width = size
    multiple = 4 * squeeze
    assert network.size_multiple == multiple
    rows, columns = (-(-side // multiple) * multiple for side in size)
    lq = torch.rand(2, img_channel, height, width)
    padded = torch.zeros(2, img_channel, rows, columns)
    padded[..., :height, :width] = lq
    folded = torch.empty(2, img_channel * squeeze**2, rows // squeeze, columns // squeeze)
    for channel in range(img_channel):
        for down in range(squeeze):
            for right in range(squeeze):
                folded[:, (channel * squeeze + down) * squeeze + right] = padded[
                    :, channel, down::squeeze, right::squeeze
                ]
    with torch.no_grad():
        output = literal_u(network, folded)
        unfolded = torch.empty(2, 2 * img_channel, rows, columns)
        for channel in range(2 * img_channel):
            for down in range(squeeze):
                for right in range(squeeze):
                    place = (channel * squeeze + down) * squeeze + right
                    unfolded[:, channel, down::squeeze, right::squeeze] = output[:, place]
        residual, gain = unfolded[:, :img_channel], unfolded[:, img_channel:]
        expected = (padded + gain * padded + residual)[..., :height, :width]
        torch.testing.assert_close(network(lq), expected, rtol=1e-4, atol=1e-5)


def test_what_is_injected_stands_before_each_decoder_level_coarsest_first() -> None:
    network, lq, shapes = random_network(), torch.rand(2, 3, 8, 12), []

    def condition(features: list[Tensor]) -> list[Callable[[Tensor], Tensor]]:
        shapes.extend(tuple(feature.shape) for feature in features)
        return [lambda hidden_states: 2 * hidden_states, lambda hidden_states: hidden_states - 1]

    with torch.no_grad():
        found = network(lq, condition)
        fine = network.encoders[0](network.intro(lq))
        coarse = network.encoders[1](network.downs[0](fine))
        hidden = network.middle_blks(network.downs[1](coarse))
        hidden = network.decoders[0](2 * (network.ups[0](hidden) + coarse))
        hidden = network.decoders[1](network.ups[1](hidden) + fine - 1)
        torch.testing.assert_close(found, lq + network.ending(hidden), rtol=1e-4, atol=1e-5)
        assert torch.equal(network(lq, lambda features: [nn.Identity(), nn.Identity()]), network(lq))
    assert shapes == [(2, 4, 8, 12), (2, 8, 4, 6), (2, 16, 2, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"enc_blk_nums": (1,)}, r"must be equally long, got \[1\] and \[2, 1\]"),
        ({"squeeze": 0}, "img_channel, width and squeeze must be positive, got 3, 4, 0"),
        ({"img_channel": 0}, "must be positive, got 0, 4, 1"),
    ],
)
def test_sizes_that_make_no_network_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_regressor("nafnet", **{**SMALL, **options})


def test_a_grey_network_refuses_colours_by_its_own_number() -> None:
    network = random_network(img_channel=1)
    assert network(torch.rand(1, 1, 5, 5)).shape == (1, 1, 5, 5)
    with pytest.raises(ShapeError, match=r"expected lq of shape \(B, 1, H, W\), got \(1, 3, 8, 8\)"):
        network(torch.rand(1, 3, 8, 8))
