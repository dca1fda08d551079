from contextlib import nullcontext

import torch

from ldrestore.evaluation.network_costs import PUBLISHED, in_turn, measure_networks, network_tables, write_network_costs
from ldrestore.regressors.factory import list_regressors


def test_the_tables_name_every_regressor_and_the_published_counts():
    row = {
        "parameters": 1,
        "macs_at_256": 1,
        "seconds": 0.5,
        "baseline_seconds": 1.0,
        "ratio": 0.5,
        "gflops": 25.0,
        "matrix_gflops": 50.0,
    }
    how = {"side": 256, "repeats": 3, "machine": "2 CPU threads", "dtype": "float32"}
    text = network_tables({"how": how, "rows": {"restormer": row}})
    assert all(f"| {name} |" in text for name in list_regressors())
    assert "| restormer | 26.127 | 26.127 | 148.03 |" in text
    assert "| restormer | 0.500 | 1.000 | 0.50 | 25 | 50 | 50% |" in text


def test_published_counts_hold_to_a_thousandth():
    for name, published in PUBLISHED.items():
        if name in list_regressors():
            assert abs(list_regressors()[name].parameters / 1e6 - published) <= 0.001


def test_all_calls_are_timed_equally_often_and_in_turn():
    order = []

    def noting(name):
        return lambda: order.append(name) or torch.zeros(1), nullcontext

    times = in_turn(noting("ours"), noting("baseline"), repeats=3, device=torch.device("cpu"))
    assert order == ["ours", "baseline"] * 4
    assert [len(seconds) for seconds in times] == [3, 3]


def test_a_network_is_measured_and_written(tmp_path, monkeypatch):
    from ldrestore.regressors.factory import create_regressor

    def tiny(name):
        return create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))

    monkeypatch.setattr("ldrestore.evaluation.network_costs.create_regressor", tiny)
    monkeypatch.setattr("ldrestore.evaluation.network_costs.MATRIX_SIDE", 16)
    heard = []
    document = measure_networks(["nafnet_sidd_w32"], side=16, repeats=1, say=heard.append)
    write_network_costs(document, tmp_path)
    assert document["rows"]["nafnet_sidd_w32"]["seconds"] >= 0 and len(heard) == 1
    assert "bench --network all" in (tmp_path / "regressors.md").read_text()
