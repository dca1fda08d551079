import json

import pytest
import torch

from ldrestore.errors import ConfigError, InputError, WeightsError
from ldrestore.evaluation.studies import sampled_cost
from ldrestore.evaluation.studies.cost_subjects import SUBJECTS, CostSubject
from ldrestore.evaluation.studies.sampled_cost import (
    SampledCostOptions,
    measure_sampled_cost,
    measure_time,
    report_sampled_cost,
    seconds_of_base,
    seconds_of_restorer,
)
from ldrestore.evaluation.studies.sampled_memory import picture_of
from tests.tiny_stable import tiny_stable
from tests.tiny_xl_pipeline import tiny_xl

TIME_KEYS = {"once", "step", "total"}
MEMORY = {
    "restorer": {"beyond_weights": 1.2, "idle": 9.0},
    "refined": {"beyond_weights": 1.5, "idle": 9.0},
    "img2img": {"beyond_weights": 1.0, "idle": 5.0},
}


@pytest.fixture(params=["stable-cost", "xl-cost"])
def subject(request):
    return SUBJECTS[request.param]


@pytest.fixture
def ours(subject):
    """A tiny pipeline of the track."""
    return {"stable-cost": tiny_stable, "xl-cost": tiny_xl}[subject.name]()


@pytest.fixture
def measurements(ours, monkeypatch):
    """What was built and measured, in this order; the model is a tiny one and memory made up."""
    found = []
    monkeypatch.setattr(CostSubject, "open", lambda self, model, *, dtype: found.append(str(dtype)) or ours)
    monkeypatch.setattr(CostSubject, "full_sizes", lambda self: {"unet": 865_900_000})
    monkeypatch.setattr(
        sampled_cost, "measure_in_process", lambda study, kind, **options: found.append(kind) or MEMORY[kind]
    )
    return found


def test_steps_are_scaled_to_all(subject, ours):
    for seconds_of in (seconds_of_restorer, seconds_of_base):
        seconds = seconds_of(subject, ours, picture_of(16), num_steps=3)
        assert seconds.keys() == TIME_KEYS and seconds["step"] > 0
        assert seconds["total"] == pytest.approx(seconds["once"] + subject.num_steps * seconds["step"])


def test_the_base_runs_bare_and_the_restorer_with_its_layers(subject, ours):
    calls = []
    layer = ours.injection.down_blocks[0][0] if subject.name == "stable-cost" else ours.daff
    layer.register_forward_pre_hook(lambda module, inputs: calls.append("layer"))
    ours.unet.register_forward_pre_hook(lambda module, inputs: calls.append("unet"))
    seconds_of_restorer(subject, ours, picture_of(16), num_steps=2)
    assert calls.count("unet") == 2 and calls[0] == "unet" and calls[1] == calls[-1] == "layer"
    calls.clear()
    seconds_of_base(subject, ours, picture_of(16), num_steps=2)
    assert calls == ["unet", "unet"]


def test_a_row_of_time_holds_both_and_their_ratio(subject, ours):
    row = measure_time(subject, ours, side=16, repeats=2, timed_steps=2)
    assert row["restorer"].keys() == row["base"].keys() == TIME_KEYS
    low, high = row["ratio_range"]
    assert low <= row["ratio"] <= high and row["parameters"]["unet"] > 0


def test_rows_are_measured_once_and_memory_first(subject, measurements, call):
    options = SampledCostOptions(side=64, repeats=1, timed_steps=2)
    measure_sampled_cost(subject, options, call())
    assert measurements == ["restorer", "refined", "img2img", "torch.float32"]
    measure_sampled_cost(subject, options, call())
    assert len(measurements) == 4
    rows = json.loads((call().out_dir / f"{subject.name}.json").read_text())["rows"]
    where = f"full widths, CPU, 64 pixels, float32, {torch.get_num_threads()} threads"
    assert list(rows) == [f"memory: {where}, 2 steps", f"time: {where}, 1 x 2 steps"]
    measure_sampled_cost(subject, SampledCostOptions(side=64, repeats=1, timed_steps=3, has_memory=False), call())
    assert measurements[4:] == ["torch.float32"]


@pytest.mark.usefixtures("measurements")
def test_the_report_tells_ratios_and_every_line_has_the_columns_of_its_head(subject, call):
    width = None
    options = SampledCostOptions(side=64, repeats=1, timed_steps=2)
    text = report_sampled_cost(subject, measure_sampled_cost(subject, options, call()))
    for line in text.splitlines():
        width = None if not line.startswith("|") else width or line.count("|")
        assert width is None or line.count("|") == width, line
    assert "| 1.200 | 1.500 | 1.000 | 1.20 | 1.50 | 9.00 / 9.00 / 5.00 |" in text
    assert f"ours, {subject.num_steps} steps" in text
    assert "unet 865.9 M" in text and text.count("- Computed on cpu") == 1
    assert "## Time" not in report_sampled_cost(subject, {})


def test_a_model_of_another_track_and_wrong_numbers_are_refused(subject, call):
    with pytest.raises(WeightsError, match=r"holds a FastRestorePipeline, expected a (Stable|XL)RestorePipeline"):
        measure_sampled_cost(subject, SampledCostOptions(has_memory=False), call("default"))
    with pytest.raises(InputError, match="at most one --model, got 2"):
        measure_sampled_cost(subject, SampledCostOptions(), call("a", "b"))
    with pytest.raises(ConfigError, match="timed_steps must be at least 2, got 1"):
        SampledCostOptions(timed_steps=1)
    with pytest.raises(ConfigError, match="dtype must be float32, bfloat16 or float16, got int8"):
        SampledCostOptions(dtype="int8")
