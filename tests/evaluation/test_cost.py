import types
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from ldrestore.errors import WeightsUnavailableError
from ldrestore.evaluation.contestants import Contestant, model_contestant, peer_contestant
from ldrestore.evaluation.cost import (
    _timed_picture,
    count_macs,
    measure_costs,
    parameters_of_pipeline,
    peak_memory,
    status_bytes,
)
from ldrestore.images.photo import Photo


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


def test_multiplications_of_matrix_products_and_attention_are_those_of_their_formulas() -> None:
    a, b = torch.zeros(3, 5, 7), torch.zeros(3, 7, 11)
    assert count_macs(lambda: torch.bmm(a, b)) == 3 * 5 * 7 * 11
    assert count_macs(lambda: torch.zeros(5, 7) @ torch.zeros(7, 2)) == 5 * 7 * 2
    assert count_macs(lambda: torch.zeros(5) + 1) == 0
    grouped = nn.Conv2d(8, 8, 3, padding=1, groups=8)
    assert count_macs(lambda: grouped(torch.zeros(1, 8, 6, 6))) == 6 * 6 * 8 * 9
    query = torch.zeros(1, 2, 16, 8)
    attention = count_macs(lambda: nn.functional.scaled_dot_product_attention(query, query, query))
    assert attention == 2 * (2 * 16 * 16 * 8)  # queries with keys, and weights with values


def test_counting_changes_no_result_and_adds_up() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 1))
    picture = torch.rand(1, 3, 17, 17)
    found: list[torch.Tensor] = []
    macs = count_macs(lambda: found.append(network(picture)))
    assert torch.equal(found[0], network(picture))
    assert macs == 8 * 8 * 3 * 4 * 9 + 8 * 8 * 4 * 2
    assert count_macs(lambda: [network(picture), network(picture)]) == 2 * macs


def test_a_network_that_stands_in_two_places_of_a_pipeline_is_counted_once() -> None:
    network = nn.Linear(3, 4)
    pipeline = types.SimpleNamespace(components={"one": network, "again": network, "text": "no network"})
    assert parameters_of_pipeline(pipeline) == 16


class Clockwork:
    """Stands for a model that takes the seconds that it is given, one call after the other."""

    calls: ClassVar[list[str]] = []
    seconds: ClassVar[dict[str, list[float]]] = {}
    now: ClassVar[float] = 0.0

    def __init__(self, contestant: Contestant, *, device: str) -> None:
        if contestant.source == "lost":
            raise WeightsUnavailableError("no such weights")
        self.name = contestant.name
        self.pipeline = types.SimpleNamespace(restore=self.restore, components={})

    def options(self, given: Any) -> Any:
        return given

    def restore(self, picture: Photo, options: Any) -> None:
        Clockwork.calls.append(self.name)
        waiting = Clockwork.seconds[self.name]
        Clockwork.now += waiting.pop(0) if waiting else 0.0


def test_models_take_turns_after_a_warm_up_and_one_slow_run_counts_for_nothing(monkeypatch: Any) -> None:
    monkeypatch.setattr("ldrestore.evaluation.cost.ModelRestorer", Clockwork)
    monkeypatch.setattr("ldrestore.evaluation.cost._clock", lambda device: Clockwork.now)
    monkeypatch.setattr("ldrestore.evaluation.cost.SIDE", 100)
    Clockwork.calls.clear()
    Clockwork.seconds = {"a": [9.0, 1.0, 30.0, 1.5], "b": [9.0, 2.0, 2.0, 2.0]}
    contestants = [Contestant(name=name, kind="model", source=name) for name in ("a", "lost", "b")]
    heard: list[str] = []
    rows = measure_costs([*contestants, peer_contestant("clahe")], device="cpu", repeats=3, say=heard.append)
    assert Clockwork.calls[:8] == ["a", "b", "a", "b", "a", "b", "a", "b"]
    assert {row.contestant: row.seconds_per_megapixel for row in rows} == pytest.approx({"a": 150.0, "b": 200.0})
    assert {(row.megapixels, row.repeats, row.device) for row in rows} == {(0.01, 3, "cpu")}
    assert all(row.gigamacs is None for row in rows)  # nothing that torch computes
    assert heard == ["cost of lost is not measured: no such weights"]


@pytest.mark.parametrize("side", [64, 700])
def test_the_timed_picture_is_a_noisy_square_of_any_side_and_the_same_each_time(side: int) -> None:
    one, two = _timed_picture(side), _timed_picture(side)
    assert one.pixels.shape == (side, side, 3) and np.array_equal(one.pixels, two.pixels)
    assert 15 < np.diff(one.pixels.astype(float), axis=1).std() / np.sqrt(2) < 60


def test_memory_of_the_process_is_read_where_the_system_tells_it() -> None:
    resident, peak = status_bytes("VmRSS"), status_bytes("VmHWM")
    assert status_bytes("VmNothing") is None
    assert resident is None or (peak is not None and peak >= resident > 1e6)
