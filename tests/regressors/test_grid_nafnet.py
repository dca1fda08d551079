import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ldrestore.errors import ConfigError, ShapeError, WeightsError
from ldrestore.regressors.factory import create_regressor

SMALL = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": (1, 1), "dec_blk_nums": (1, 1), "prompt_dim": 8}
NAMES = ("haze", "rain")


def shaken(network, std=0.1):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(std * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.fixture
def network():
    torch.manual_seed(0)
    return shaken(create_regressor("grid_nafnet", **SMALL, code_dim=6, degradations=NAMES))


def test_at_initialisation_light_is_left_alone():
    network = create_regressor("grid_nafnet", **SMALL).eval()
    lq = torch.rand(1, 3, 19, 22)
    torch.testing.assert_close(network(lq, light_only=True), lq)


def test_weights_without_a_look_compute_what_they_did():
    torch.manual_seed(0)
    before = shaken(create_regressor("prompted_nafnet", **SMALL, degradations=NAMES))
    deeper = {**SMALL, "enc_blk_nums": (2, 1), "dec_blk_nums": (1, 2), "middle_blk_num": 3}
    after = create_regressor("grid_nafnet", **deeper, degradations=NAMES).eval()
    after.adopt(before.state_dict())
    lq = torch.rand(2, 3, 20, 24)
    restored, logits = after(lq, return_estimate=True)
    expected, expected_logits = before(lq, return_estimate=True)
    torch.testing.assert_close(restored, expected)
    torch.testing.assert_close(logits[:, :2], expected_logits)


def test_weights_of_another_width_are_refused(network):
    other = create_regressor("grid_nafnet", **{**SMALL, "width": 8}, degradations=NAMES)
    with pytest.raises(WeightsError, match="do not fit"):
        network.adopt(other.state_dict())


def test_a_part_has_the_light_that_it_has_in_the_whole(network):
    whole = torch.rand(1, 3, 32, 48)
    window = torch.tensor([[8 / 32, 16 / 48, 24 / 32, 40 / 48]])
    part = network(whole[..., 8:24, 16:40].contiguous(), whole=whole, window=window, light_only=True)
    relit = network(whole, light_only=True)
    inner = (..., slice(2, -2), slice(2, -2))  # between the centres of 2 x 2 blocks the border repeats
    torch.testing.assert_close(part[inner], relit[..., 8:24, 16:40][inner], rtol=1e-4, atol=1e-5)


def test_odd_sides_have_the_light_of_even_ones(network):
    whole = torch.rand(1, 3, 33, 35)
    assert network(whole, light_only=True).shape == whole.shape


def test_hints_change_the_result_and_no_hints_are_hints_of_zeros(network):
    lq = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        untold = network(lq)
        assert torch.equal(untold, network(lq, hints=torch.zeros(1, 4)))
        assert not torch.equal(untold, network(lq, hints=torch.tensor([[1.0, 0.0, 1.0, 0.0]])))


def test_hints_do_not_change_what_the_estimate_says(network):
    lq, hints = torch.rand(1, 3, 16, 16), torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    code, with_hints = network.picture_look(lq, torch.zeros(1, 4)), network.picture_look(lq, hints)
    assert torch.equal(code.plain_code, with_hints.plain_code)
    assert not torch.equal(code.code, with_hints.code)


def test_hints_of_another_number_are_refused(network):
    with pytest.raises(ShapeError, match=r"expected hints of shape \(1, 4\), got \(1, 3\)"):
        network(torch.rand(1, 3, 16, 16), hints=torch.zeros(1, 3))


def test_the_estimate_knows_when_nothing_is_wrong(network):
    assert network.estimate_names == ("haze", "rain", "clean")


def test_a_network_must_know_a_degradation():
    with pytest.raises(ConfigError, match="degradations is empty"):
        create_regressor("grid_nafnet", degradations=())


@torch.no_grad()
def test_restoring_works_on_the_relit_picture_and_hints_enter_query_and_prompt(network: nn.Module) -> None:
    lq, hints = torch.rand(2, 3, 16, 24), torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.5]])
    look = network.picture_look(lq, hints)  # a picture that small is its own reduced copy
    relit, body = network(lq, hints=hints, light_only=True), network.body
    fine = body.encoders[0](body.intro(F.pixel_unshuffle(relit, 2)))
    coarse = body.encoders[1](body.downs[0](fine))
    middle = body.middle_blks(body.downs[1](coarse))
    numbers = []
    for features in (fine, coarse, middle):
        numbers += [features.mean(dim=(2, 3)), (features.var(dim=(2, 3), correction=0) + 1e-6).sqrt()]
    query = network.to_query(torch.cat(numbers, dim=1))
    asked_with = query + network.hint_to_query(torch.cat([hints, look.code], dim=1))
    prompt = network.pool(asked_with)[0] + network.hint_to_prompt(hints)
    hidden = body.decoders[0](network.injections[0](body.ups[0](middle) + coarse, prompt))
    hidden = body.decoders[1](network.injections[1](body.ups[1](hidden) + fine, prompt))
    residual, gain = F.pixel_shuffle(body.ending(hidden), 2).chunk(2, dim=1)
    restoration = network(lq, hints=hints, return_light=True)
    torch.testing.assert_close(restoration.relit, relit)
    torch.testing.assert_close(restoration.restored, relit + gain * relit + residual, rtol=1e-4, atol=1e-4)
    logits = network.estimator(torch.cat([query, look.plain_code], dim=1))
    torch.testing.assert_close(restoration.logits, logits, rtol=1e-4, atol=1e-4)
    estimated = network(lq, hints=hints, return_estimate=True)
    assert torch.equal(estimated[0], restoration.restored) and torch.equal(estimated[1], restoration.logits)


@torch.no_grad()
def test_a_window_over_the_whole_is_no_window(network: nn.Module) -> None:
    lq = torch.rand(2, 3, 18, 21)
    window = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    assert torch.equal(network(lq, whole=lq, window=window), network(lq))


@pytest.mark.parametrize("size", [(1, 2), (2, 1), (7, 10), (10, 7)])
@torch.no_grad()
def test_odd_sides_are_relit_as_part_of_an_even_picture(network: nn.Module, size: tuple[int, int]) -> None:
    whole = torch.rand(1, 3, 32, 32)
    height, width = size
    even = [side + side % 2 for side in size]
    shares = [torch.tensor([[0.0, 0.0, rows / 32, columns / 32]]) for rows, columns in (size, even)]
    part = whole[..., :height, :width]
    odd = network(part, whole=whole, window=shares[0], light_only=True)
    padded = F.pad(part, (0, even[1] - width, 0, even[0] - height), mode="replicate")
    expected = network(padded, whole=whole, window=shares[1], light_only=True)[..., :height, :width]
    torch.testing.assert_close(odd, expected, rtol=1e-4, atol=1e-5)


def test_a_deeper_network_adopts_a_shallow_one_of_its_own_kind(network: nn.Module) -> None:
    deeper = create_regressor(
        "grid_nafnet",
        **{**SMALL, "enc_blk_nums": (1, 3), "dec_blk_nums": (2, 1), "middle_blk_num": 2},
        code_dim=6,
        degradations=NAMES,
    ).eval()
    deeper.adopt(network.state_dict())
    lq, hints = torch.rand(1, 3, 16, 16), torch.tensor([[1.0, 0.0, 0.5, 0.0]])
    torch.testing.assert_close(deeper(lq, hints=hints), network(lq, hints=hints), rtol=1e-4, atol=1e-5)


def test_weights_that_do_not_start_as_the_identity_must_be_there(network: nn.Module) -> None:
    weights = network.state_dict()
    with pytest.raises(WeightsError, match=r"missing \['pool\.keys'\]"):
        network.adopt({key: value for key, value in weights.items() if key != "pool.keys"})
    with pytest.raises(WeightsError, match=r"misfits \['nobody'\]"):
        network.adopt({**weights, "nobody": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"misfits \['estimator\.weight'\]"):
        network.adopt({**weights, "estimator.weight": torch.zeros(9, weights["estimator.weight"].shape[1])})
