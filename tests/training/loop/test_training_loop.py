import importlib.util
import json

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import TinyConfig, TinyTask, run_tiny, tiny_config
from torch import nn

from ldrestore.config import load_config
from ldrestore.errors import LDRestoreError, MissingExtraError
from ldrestore.training.loop.training_loop import lay_channels_last


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_are_written_where_they_are_due(tmp_path):
    assert run_tiny(tiny_config(tmp_path))
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == [4, 8, 12, 16, 18]
    assert [line["step"] for line in lines if "validation/l1" in line] == [6, 12, 18]
    assert all({"learning_rate", "grad_norm", "samples_per_second", "squared"} <= line.keys() for line in lines[:1])


def test_the_loss_goes_down(tmp_path):
    run_tiny(tiny_config(tmp_path, "dropout=0", "stages=[{patch_size: 8, batch_size: 4, steps: 60}]"))
    losses = [line["loss"] for line in metrics(tmp_path) if "loss" in line]
    assert losses[-1] < 0.7 * losses[0]


def test_the_run_leaves_its_whole_config_and_versions(tmp_path):
    config = tiny_config(tmp_path)
    run_tiny(config)
    assert load_config(TinyConfig, tmp_path / "config.yaml") == config
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["packages"]["torch"] and "commit" in environment


def test_accumulation_equals_the_larger_batch(tmp_path):
    plain = "run.gradient_accumulation_steps=1"
    for name, batch, overrides in [("accumulated", 2, []), ("plain", 4, [plain])]:
        stages = f"stages=[{{patch_size: 8, batch_size: {batch}, steps: 6}}]"
        run_tiny(tiny_config(tmp_path / name, "dropout=0", stages, *overrides))
    accumulated, whole = (
        load_file(tmp_path / name / "export/weights.safetensors") for name in ("accumulated", "plain")
    )
    torch.testing.assert_close(accumulated, whole)


def test_without_averaging_the_trained_weights_are_exported(tmp_path):
    run_tiny(tiny_config(tmp_path, "ema=null"))
    checkpoint = tmp_path / "checkpoints/step_00000018"
    assert not (checkpoint / "ema.safetensors").exists()
    exported, trained = load_file(tmp_path / "export/weights.safetensors"), load_file(checkpoint / "model.safetensors")
    assert all(torch.equal(exported[name], trained[name]) for name in trained)


@pytest.mark.parametrize(
    "override", ["run.mixed_precision=bf16", "run.channels_last=true", "optimizer.max_grad_norm=null"]
)
def test_options_of_the_run_train_and_resume(tmp_path, override):
    assert run_tiny(tiny_config(tmp_path / "straight", override))
    assert not run_tiny(tiny_config(tmp_path / "broken", override), task=TinyTask(interrupt_at=11))
    assert run_tiny(tiny_config(tmp_path / "broken", override), resume="auto")
    left, right = (load_file(tmp_path / name / "export/weights.safetensors") for name in ("straight", "broken"))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_run_that_diverges_ends_with_an_error_and_no_checkpoint_of_it(tmp_path):
    with pytest.raises(LDRestoreError, match="training diverged"):
        run_tiny(tiny_config(tmp_path, "optimizer.learning_rate=1e30", "run.log_every=100", "run.validate_every=100"))
    assert not list((tmp_path / "checkpoints").glob("step_*"))


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs the extra 'train'")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_files_are_written(tmp_path):
    run_tiny(tiny_config(tmp_path, "run.tracker=tensorboard", "stages=[{patch_size: 8, batch_size: 1, steps: 4}]"))
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_a_missing_tracker_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ldrestore\[train\]'"):
        run_tiny(tiny_config(tmp_path, "run.tracker=tensorboard"))


def test_prompts_of_five_axes_stay_as_they_are_in_channels_last():
    network = nn.Conv2d(4, 8, 3)
    network.prompts = nn.Parameter(torch.randn(1, 2, 3, 4, 4))
    expected = network(torch.ones(1, 4, 5, 5))
    lay_channels_last(network)
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.prompts.is_contiguous()
    torch.testing.assert_close(network(torch.ones(1, 4, 5, 5)), expected)
