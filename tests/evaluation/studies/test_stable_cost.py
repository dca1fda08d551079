import json

import pytest
import torch

from ldrestore.errors import ConfigError, InputError, WeightsError
from ldrestore.evaluation.studies import stable_cost
from ldrestore.evaluation.studies.stable_cost import (
    StableCostOptions,
    measure_stable_cost,
    measure_time,
    report_stable_cost,
    seconds_of_base,
    seconds_of_restorer,
)
from ldrestore.evaluation.studies.stable_memory import picture_of
from tests.tiny_stable import tiny_stable

TIME_KEYS = {"once", "step", "total"}
MEMORY = {
    "restorer": {"beyond_weights": 1.2, "idle": 9.0},
    "refined": {"beyond_weights": 1.5, "idle": 9.0},
    "img2img": {"beyond_weights": 1.0, "idle": 5.0},
}


@pytest.fixture
def stable():
    return tiny_stable()


@pytest.fixture
def measurements(stable, monkeypatch):
    """What was built and measured, in this order; the model is a tiny one and memory made up."""
    found = []
    monkeypatch.setattr(stable_cost, "open_stable", lambda model, dtype: found.append(str(dtype)) or stable)
    monkeypatch.setattr(stable_cost, "measure_in_process", lambda kind, **options: found.append(kind) or MEMORY[kind])
    monkeypatch.setattr(stable_cost, "full_part_sizes", lambda: {"unet": 865_900_000})
    return found


def test_steps_are_scaled_to_fifty(stable):
    for seconds_of in (seconds_of_restorer, seconds_of_base):
        seconds = seconds_of(stable, picture_of(16), num_steps=3)
        assert seconds.keys() == TIME_KEYS and seconds["step"] > 0
        assert seconds["total"] == pytest.approx(seconds["once"] + 50 * seconds["step"])


def test_the_base_runs_bare_and_the_restorer_with_its_layers(stable):
    calls = []
    stable.injection.down_blocks[0][0].register_forward_pre_hook(lambda module, inputs: calls.append("layer"))
    stable.unet.register_forward_pre_hook(lambda module, inputs: calls.append("unet"))
    seconds_of_restorer(stable, picture_of(16), num_steps=2)
    assert calls == ["unet", "layer", "unet", "layer"]
    calls.clear()
    seconds_of_base(stable, picture_of(16), num_steps=2)
    assert calls == ["unet", "unet"]


def test_a_row_of_time_holds_both_and_their_ratio(stable):
    row = measure_time(stable, side=16, repeats=2, timed_steps=2)
    assert row["restorer"].keys() == row["base"].keys() == TIME_KEYS
    low, high = row["ratio_range"]
    assert low <= row["ratio"] <= high and row["parameters"]["unet"] > 0


def test_rows_are_measured_once_and_memory_first(measurements, call):
    options = StableCostOptions(side=64, repeats=1, timed_steps=2)
    measure_stable_cost(options, call())
    assert measurements == ["restorer", "refined", "img2img", "torch.float32"]
    measure_stable_cost(options, call())
    assert len(measurements) == 4
    rows, threads = json.loads((call().out_dir / "stable-cost.json").read_text())["rows"], torch.get_num_threads()
    where = f"full widths, CPU, 64 pixels, float32, {threads} threads"
    assert list(rows) == [f"memory: {where}, 2 steps", f"time: {where}, 1 x 2 steps"]
    measure_stable_cost(StableCostOptions(side=64, repeats=1, timed_steps=3, has_memory=False), call())
    assert measurements[4:] == ["torch.float32"]


def test_the_report_tells_ratios_and_every_line_has_the_columns_of_its_head(measurements, call):
    text, width = (
        report_stable_cost(measure_stable_cost(StableCostOptions(side=64, repeats=1, timed_steps=2), call())),
        None,
    )
    for line in text.splitlines():
        width = None if not line.startswith("|") else width or line.count("|")
        assert width is None or line.count("|") == width, line
    assert "| 1.200 | 1.500 | 1.000 | 1.20 | 1.50 | 9.00 / 9.00 / 5.00 |" in text
    assert "unet 865.9 M" in text and text.count("- Computed on cpu") == 1
    assert "## Time" not in report_stable_cost({})


def test_a_model_of_another_track_and_wrong_numbers_are_refused(call):
    with pytest.raises(WeightsError, match="holds a FastRestorePipeline, expected a StableRestorePipeline"):
        measure_stable_cost(StableCostOptions(has_memory=False), call("default"))
    with pytest.raises(InputError, match="at most one --model, got 2"):
        measure_stable_cost(StableCostOptions(), call("a", "b"))
    with pytest.raises(ConfigError, match="timed_steps must be at least 2, got 1"):
        StableCostOptions(timed_steps=1)
    with pytest.raises(ConfigError, match="dtype must be float32, bfloat16 or float16, got int8"):
        StableCostOptions(dtype="int8")
