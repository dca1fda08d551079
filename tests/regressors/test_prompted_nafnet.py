import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.prompted_nafnet import means_and_spreads

LEAVES = ("weight", "bias")
GATE_WEIGHTS = (
    *(f"gate_features.{leaf}" for leaf in LEAVES),
    "gate_prompt.weight",
    *(f"scale_and_shift.{leaf}" for leaf in LEAVES),
)
SMALL = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": (1, 1), "dec_blk_nums": (1, 1), "prompt_dim": 8}


def test_at_initialisation_it_is_its_body():
    network = create_regressor("prompted_nafnet", **SMALL).eval()
    with torch.no_grad():
        for parameter in network.body.parameters():
            parameter.normal_(std=0.1)
    lq = torch.rand(1, 3, 19, 22)
    assert torch.equal(network(lq), network.body(lq))


def test_the_prompt_changes_the_restored_picture():
    network = create_regressor("prompted_nafnet", **SMALL).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
        lq = torch.rand(1, 3, 16, 16)
        before = network(lq)
        network.pool.values.mul_(-3)
    assert not torch.equal(network(lq), before)


def test_statistics_are_mean_and_spread_of_each_channel():
    features = [torch.randn(2, 3, 4, 5), torch.randn(2, 2, 2, 2)]
    statistics = means_and_spreads(*features)
    assert statistics.shape == (2, 10)
    torch.testing.assert_close(statistics[1, 4], features[0][1, 1].std(correction=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(statistics[0, 6:8], features[1][0].mean(dim=(1, 2)))


def test_statistics_of_large_half_precision_features_stay_finite():
    features = torch.full((1, 2, 300, 300), 100.0, dtype=torch.float16)
    torch.testing.assert_close(means_and_spreads(features)[0, :2], torch.full((2,), 100.0, dtype=torch.float16))


def test_a_training_checkpoint_converts(tmp_path):
    network = create_regressor("prompted_nafnet").eval()
    torch.save({"params": network.state_dict()}, tmp_path / "weights.pth")
    convert("prompted_nafnet", tmp_path / "weights.pth", tmp_path / "model")
    loaded = FastRestorePipeline.from_pretrained(tmp_path / "model").regressor
    assert loaded.config["degradations"] == list(network.config["degradations"])
    assert all(torch.equal(weight, loaded.state_dict()[key]) for key, weight in network.state_dict().items())


def test_a_network_must_know_a_degradation():
    with pytest.raises(ConfigError, match="degradations is empty"):
        create_regressor("prompted_nafnet", degradations=())


def filled() -> nn.Module:
    """A small network none of whose layers is silent."""
    torch.manual_seed(0)
    network = create_regressor("prompted_nafnet", **SMALL, degradations=("haze", "rain", "snow"), squeeze=2).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def literal_pass(network: nn.Module, lq: Tensor) -> tuple[Tensor, Tensor]:
    """One pass written out for two levels: features, query, prompt, gates, gain and residual."""
    body = network.body
    fine = body.encoders[0](body.intro(F.pixel_unshuffle(lq, 2)))
    coarse = body.encoders[1](body.downs[0](fine))
    middle = body.middle_blks(body.downs[1](coarse))
    numbers = []
    for features in (fine, coarse, middle):
        numbers += [features.mean(dim=(2, 3)), (features.var(dim=(2, 3), correction=0) + 1e-6).sqrt()]
    query = network.to_query(torch.cat(numbers, dim=1))
    prompt, _ = network.pool(query)
    hidden = F.pixel_shuffle(body.ups[0][0](middle), 2) + coarse
    hidden = body.decoders[0](network.injections[0](hidden, prompt))
    hidden = F.pixel_shuffle(body.ups[1][0](hidden), 2) + fine
    hidden = body.decoders[1](network.injections[1](hidden, prompt))
    residual, gain = F.pixel_shuffle(body.ending(hidden), 2).chunk(2, dim=1)
    return lq + gain * lq + residual, network.estimator(query)


@torch.no_grad()
def test_one_pass_is_features_query_prompt_gates_gain_and_residual() -> None:
    network, lq = filled(), torch.rand(2, 3, 16, 24)
    restored, logits = network(lq, return_estimate=True)
    expected, expected_logits = literal_pass(network, lq)
    torch.testing.assert_close(restored, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_estimate_does_not_hang_on_the_prompts_nor_the_picture_on_the_estimator() -> None:
    network, lq = filled(), torch.rand(1, 3, 16, 16)
    restored, logits = network(lq, return_estimate=True)
    network.estimator.weight.zero_()
    assert torch.equal(network(lq), restored)
    network.estimator.weight.normal_()
    before = network(lq, return_estimate=True)[1]
    network.pool.values.mul_(5)
    assert torch.equal(network(lq, return_estimate=True)[1], before)
    assert logits.shape == before.shape == (1, 3)


def test_gates_stand_coarsest_first_with_the_channels_of_their_level() -> None:
    network = create_regressor("prompted_nafnet", **{**SMALL, "enc_blk_nums": (1, 1, 1), "dec_blk_nums": (1, 1, 1)})
    assert [injection.gate_features.in_channels for injection in network.injections] == [16, 8, 4]
    assert network.to_query[1].in_features == 2 * (4 + 8 + 16 + 32)
    assert network.size_multiple == 16


def test_names_of_weights_are_those_of_the_shipped_checkpoints() -> None:
    keys = filled().state_dict().keys()
    own = {key for key in keys if not key.startswith("body.")}
    gates = [f"injections.{level}.{part}" for level in (0, 1) for part in GATE_WEIGHTS]
    assert own == {"pool.keys", "pool.values", "pool.temperature_logit", *gates} | {
        f"{layer}.{leaf}" for layer in ("to_query.0", "to_query.1", "to_query.3", "estimator") for leaf in LEAVES
    }
