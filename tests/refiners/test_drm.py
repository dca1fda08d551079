"""The detail refinement module: Fig. 4 in its order, no effect at the start, round trips, growing."""

import json

import pytest
import torch

from ldrestore.errors import ConfigError, ShapeError
from ldrestore.refiners.drm import DetailRefinementModule
from tests.tiny_autoencoder import make_drm, trained


def feature_maps(*, batch=2, channels=8, size=(8, 12), dtype=torch.float32):
    torch.manual_seed(3)
    return [torch.randn(batch, channels, *size, dtype=dtype) for _ in range(2)]


def test_a_new_module_changes_nothing(drm, probabilities):
    hidden_states, lq_features = feature_maps()
    assert torch.equal(drm(hidden_states, lq_features, probabilities, level=0), hidden_states)


def test_it_is_the_order_of_the_paper(drm, probabilities):
    level = trained(drm).levels[1]
    hidden_states, lq_features = feature_maps()
    modulated = level.modulator(lq_features, probabilities)
    extracted = level.conv_in(torch.cat([modulated, hidden_states], dim=1))
    for block in (*level.res_blocks, *level.swin_blocks):
        extracted = block(extracted)
    expected = hidden_states + level.conv_out(extracted)
    assert torch.equal(drm(hidden_states, lq_features, probabilities, level=1), expected)


def test_every_second_swin_block_is_shifted():
    drm = make_drm(num_swin_blocks=4)
    assert [block.attn.shift for block in drm.levels[0].swin_blocks] == [0, 2, 0, 2]


def test_the_output_depends_on_picture_decoder_and_degradation(drm, probabilities):
    trained(drm)
    hidden_states, lq_features = feature_maps()
    out = drm(hidden_states, lq_features, probabilities, level=0) - hidden_states
    others = (
        drm(hidden_states + 1, lq_features, probabilities, level=0) - hidden_states - 1,
        drm(hidden_states, lq_features.flip(2), probabilities, level=0) - hidden_states,
        drm(hidden_states, lq_features, probabilities.flip(0), level=0) - hidden_states,
    )
    assert all((out - other).abs().max() > 1e-5 for other in others)


def test_all_parameters_learn_once_the_last_convolution_has_moved(drm, probabilities):
    hidden_states, lq_features = feature_maps()
    level = drm.levels[0]
    drm(hidden_states, lq_features, probabilities, level=0).square().mean().backward()
    moved = {name for name, parameter in level.named_parameters() if parameter.grad.abs().sum() > 0}
    assert moved == {"conv_out.weight", "conv_out.bias"}
    trained(drm).zero_grad()
    drm(hidden_states, lq_features, probabilities, level=0).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in level.parameters())
    assert all(parameter.grad is None for other in drm.levels[1:] for parameter in other.parameters())


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (5, 4), (9, 17)])
def test_any_size(drm, probabilities, size):
    hidden_states, lq_features = feature_maps(size=size)
    out = trained(drm)(hidden_states, lq_features, probabilities, level=0)
    assert out.shape == hidden_states.shape and out.isfinite().all()


def test_each_picture_of_a_batch_stays_to_itself(drm, probabilities):
    trained(drm)
    maps = feature_maps()
    batch = drm(*maps, probabilities, level=0)
    singles = [drm(*(x[i : i + 1] for x in maps), probabilities[i : i + 1], level=0) for i in range(2)]
    torch.testing.assert_close(batch, torch.cat(singles), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(drm, probabilities, dtype):
    expected = trained(drm)(*feature_maps(), probabilities, level=0)
    maps = [x.to(dtype) for x in feature_maps()]
    out = drm.to(dtype)(*maps, probabilities, level=0)
    assert out.dtype == dtype
    assert (out.float() - expected).abs().max() < 0.05 * expected.abs().max()


def test_a_module_in_float32_refines_a_decoder_in_half_precision(drm, probabilities):
    maps = feature_maps(dtype=torch.bfloat16)
    assert trained(drm)(*maps, probabilities, level=0).dtype == torch.bfloat16


def test_saving_and_loading_keeps_every_bit(drm, probabilities, tmp_path):
    trained(drm).save_pretrained(tmp_path)
    loaded = DetailRefinementModule.from_pretrained(tmp_path)
    assert loaded.names == drm.names == ("rain", "haze", "jpeg")
    assert json.loads(loaded.to_json_string()).items() >= json.loads(drm.to_json_string()).items()
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in drm.state_dict().items())
    maps = feature_maps()
    # loaded weights lie elsewhere in memory, where a product may be summed in another order
    torch.testing.assert_close(loaded(*maps, probabilities, level=0), drm(*maps, probabilities, level=0))


def test_growing_keeps_the_old_degradations_and_survives_saving(drm, probabilities, tmp_path):
    trained(drm)
    old = {name: value.clone() for name, value in drm.state_dict().items()}
    maps = feature_maps()
    before = drm(*maps, probabilities, level=0)
    drm.grow(["moire", "demosaic"], generator=torch.Generator().manual_seed(0))
    assert drm.names == ("rain", "haze", "jpeg", "moire", "demosaic")
    for name, value in drm.state_dict().items():
        is_pool = name.endswith("visual_prompt")
        assert torch.equal(value[:3] if is_pool else value, old[name])
        assert not is_pool or (len(value) == 5 and 0.01 < value[3:].std() < 0.03)
    grown = torch.cat([probabilities, torch.zeros(2, 2)], dim=1)
    torch.testing.assert_close(drm(*maps, grown, level=0), before, rtol=1e-4, atol=1e-5)
    drm.save_pretrained(tmp_path)
    loaded = DetailRefinementModule.from_pretrained(tmp_path)
    assert loaded.names == drm.names
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in drm.state_dict().items())
    torch.testing.assert_close(loaded(*maps, grown, level=0), drm(*maps, grown, level=0))


def test_growing_by_what_is_there_is_refused(drm):
    with pytest.raises(ConfigError, match="rain: there already"):
        drm.grow(["rain"])


def test_sizes_of_the_defaults():
    with torch.device("meta"):
        full = DetailRefinementModule()
        small = DetailRefinementModule((32, 64, 96), (32, 48, 64), prompt_dim=64, head_dim=16, norm_num_groups=16)
    assert [parameters / 1e6 for parameters in map(num_parameters, (full, small))] == pytest.approx(
        [17.62, 0.7415], 1e-3
    )
    assert len(full.names) == 9


def num_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_wrong_sizes_are_refused(drm, probabilities):
    with pytest.raises(ConfigError, match="one of hidden_channels for each of block_out_channels"):
        DetailRefinementModule((32, 64), (32, 32, 32))
    with pytest.raises(ConfigError, match="hidden ones of head_dim 32 too, got 48, 40"):
        DetailRefinementModule((32, 40), (48, 32), norm_num_groups=16)
    with pytest.raises(ConfigError, match="different names"):
        make_drm(degradations=("rain", "rain"))
    hidden_states, lq_features = feature_maps()
    with pytest.raises(ShapeError, match=r"decoder's shape \(2, 8, 8, 12\) at level 0, got \(2, 8, 8, 11\)"):
        drm(hidden_states, lq_features[..., :-1], probabilities, level=0)
    with pytest.raises(ShapeError, match=r"\(2, 3\), got \(2, 2\)"):
        drm(hidden_states, lq_features, probabilities[:, :2], level=0)
