import measure_regressors
import torch

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
    how = {
        "side": 256,
        "repeats": 3,
        "machine": "2 CPU threads",
        "dtype": "float32",
        "compile": False,
    }
    text = measure_regressors.tables({"how": how, "rows": {"restormer": row}})
    assert all(f"| {name} |" in text for name in list_regressors())
    assert "| restormer | 26.127 | 26.127 | 148.03 |" in text
    assert "| restormer | 0.500 | 1.000 | 0.50 | 25 | 50 | 50% |" in text


def test_published_counts_hold_to_a_thousandth():
    for name, published in measure_regressors.PUBLISHED.items():
        if name in list_regressors():
            assert abs(list_regressors()[name].parameters / 1e6 - published) <= 0.001


def test_all_calls_are_timed_equally_often_and_in_turn():
    order = []

    def noting(name):
        return lambda: order.append(name) or torch.zeros(1), measure_regressors.nullcontext

    times = measure_regressors.in_turn(noting("ours"), noting("baseline"), repeats=3, device=torch.device("cpu"))
    assert order == ["ours", "baseline"] * 4
    assert [len(seconds) for seconds in times] == [3, 3]
