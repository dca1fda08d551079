import json

import pytest
import torch
from measure_stable_cost import (
    judge_cost,
    measure,
    measure_time,
    parse_arguments,
    seconds_of_base,
    seconds_of_restorer,
    tables,
)
from measure_stable_memory import picture_of
from measurement_file import MeasurementFile

from tests.tiny_stable import tiny_stable

TIME_KEYS = {"once", "step", "total"}


@pytest.fixture
def stable():
    return tiny_stable()


@pytest.fixture
def document():
    """A row of each section."""
    seconds = {"once": 10.0, "step": 2.0, "total": 110.0}
    time = {"threads": 2, "repeats": 5, "timed_steps": 4, "restorer": seconds, "base": seconds, "drm": 3.0}
    memory = {
        "restorer": {"beyond_weights": 1.2, "idle": 9.0},
        "refined": {"beyond_weights": 1.5, "idle": 9.0},
        "img2img": {"beyond_weights": 1.0, "idle": 5.0},
    }
    return {
        "widths": "full",
        "weights": "random",
        "parameters": {"unet": 865_900_000},
        "environment": {"machine": "x86_64", "cores": 2, "packages": {"torch": "2.15"}},
        "rows": {
            "time": {"CPU, 256 pixels, float32": {**time, "ratio": 1.3, "ratio_range": [1.25, 1.4]}},
            "memory": {"CPU, 256 pixels, float32": memory},
        },
    }


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
    assert low <= row["ratio"] <= high and "peak" not in row


def test_targets_are_upper_bounds_without_the_refined_decoder(document):
    time, memory = judge_cost(document["rows"])
    assert (time.is_target_met, memory.is_target_met) == (True, True)
    assert memory.measured == "1.20 ×; with the DRM 1.50 ×"
    document["rows"]["time"]["CPU, 256 pixels, float32"]["ratio"] = 1.36
    document["rows"]["memory"]["CPU, 256 pixels, float32"]["restorer"]["beyond_weights"] = 1.26
    assert [item.is_target_met for item in judge_cost(document["rows"])] == [False, False]
    assert [item.measured for item in judge_cost({})] == ["not measured"]


def test_every_line_of_a_table_has_the_columns_of_its_head(document):
    text, width = tables(document), None
    for line in text.splitlines():
        width = None if not line.startswith("|") else width or line.count("|")
        assert width is None or line.count("|") == width, line
    assert "Random weights of Stable Diffusion 2.1-base" in text and "unet 865.9 M" in text
    assert "5 x 4 steps" in text and "| 1.200 | 1.500 | 1.000 | 9.00 / 9.00 / 5.00 |" in text
    document["rows"] = {}
    assert "## Time" not in tables(document)


def test_rows_are_measured_once_and_memory_first(stable, document, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("measure_stable_cost.build_restorer", lambda widths, dtype: asked.append("time") or stable)
    memory = document["rows"].pop("memory")["CPU, 256 pixels, float32"]
    monkeypatch.setattr(
        "measure_stable_cost.measure_in_process", lambda kind, **options: asked.append(kind) or memory[kind]
    )
    out = tmp_path / "cost.json"
    options = ["--out", str(out), "--side", "16", "--repeats", "1", "--timed-steps", "2"]
    file = MeasurementFile(out, {key: value for key, value in document.items() if key != "rows"})
    measure(parse_arguments(options), file)
    assert asked == ["restorer", "refined", "img2img", "time"]
    measure(parse_arguments(options), file)
    assert len(asked) == 4
    rows = json.loads(out.read_text())["rows"]
    assert rows["memory"]["CPU, 16 pixels, float32"] == memory and set(rows["time"]) == {"CPU, 16 pixels, float32"}


def test_defaults_follow_the_device():
    cpu, gpu = (parse_arguments(["--out", "cost.json", "--device", device]) for device in ("cpu", "cuda"))
    assert (cpu.side, cpu.dtype, cpu.timed_steps) == (256, "float32", 4)
    assert (gpu.side, gpu.dtype, gpu.timed_steps) == (512, "bfloat16", 50)
    assert hasattr(torch, gpu.dtype)
    with pytest.raises(SystemExit):
        parse_arguments(["--out", "cost.json", "--timed-steps", "1"])
