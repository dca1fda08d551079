import pytest
import torch
from torch import nn

from ldrestore.evaluation.contestants import Contestant, model_contestant
from ldrestore.evaluation.cost import count_macs, measure_costs, parameters_of_pipeline, peak_memory


def test_multiplications_of_a_convolution_are_counted():
    network = nn.Conv2d(3, 8, 3, padding=1)
    for context in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with context:
            assert count_macs(lambda: network(torch.zeros(1, 3, 16, 16))) == 16 * 16 * 3 * 8 * 9
    attention = nn.Linear(4, 8)
    with torch.no_grad():
        assert count_macs(lambda: attention(torch.zeros(5, 4))) == 5 * 4 * 8


def test_memory_that_is_taken_is_seen():
    with peak_memory("cpu") as growth:
        block = torch.ones(25_000_000)
        block.add_(1)
        del block
    assert growth[0] is None or growth[0] == pytest.approx(0.1, abs=0.03)


def test_models_are_measured_and_others_are_not(tmp_path, monkeypatch):
    from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
    from ldrestore.regressors.factory import create_regressor

    monkeypatch.setattr("ldrestore.evaluation.cost.SIDE", 32)
    monkeypatch.setattr("ldrestore.evaluation.cost.MACS_SIDE", 16)
    network = create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    pipeline = FastRestorePipeline(regressor=network.eval())
    pipeline.save_pretrained(tmp_path / "tiny")
    contestants = [Contestant(name="input", kind="input"), model_contestant(str(tmp_path / "tiny"))]
    (row,) = measure_costs(contestants, device="cpu", repeats=2, say=print)
    assert row.contestant == "tiny" and row.repeats == 2
    assert row.seconds_per_megapixel > 0 and row.gigamacs > 0
    assert row.parameters == parameters_of_pipeline(pipeline) == sum(each.numel() for each in network.parameters())
