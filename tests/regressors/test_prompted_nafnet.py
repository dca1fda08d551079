import pytest
import torch

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.prompted_nafnet import means_and_spreads

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
