"""The one way into all trainers: config, checkpoint, what is trained, and the loop."""

from pathlib import Path

import pytest
import torch
import yaml
from tiny_run import TinyConfig, TinyTask
from torch import nn

from ldrestore.errors import ConfigError, OtherProcessError, WeightsError, WeightsUnavailableError
from ldrestore.training.entry import Prepared, run_trainer


@pytest.fixture
def path(tmp_path):
    values = {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0},
        "stages": [{"patch_size": 8, "batch_size": 1, "steps": 1}],
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "run.yaml"


def run(path, *overrides, begin=None, resume=None, skips_damaged=False):
    def prepare(config):
        torch.manual_seed(config.run.seed)
        return Prepared(network=nn.Conv2d(3, 3, 1), task=TinyTask(), begin=begin)

    return run_trainer(
        TinyConfig, path, overrides=list(overrides), resume=resume, skips_damaged=skips_damaged, prepare=prepare
    )


def test_what_a_run_begins_with_is_loaded_once(path):
    calls = []
    assert run(path, begin=lambda: calls.append("loaded"))
    assert run(path, begin=lambda: calls.append("again"), resume="auto")
    assert calls == ["loaded"]


def test_a_run_whose_beginning_is_missing_leaves_no_checkpoint(path, tmp_path):
    def fail():
        raise WeightsUnavailableError("no weights; check init_from")

    with pytest.raises(WeightsUnavailableError, match="check init_from"):
        run(path, begin=fail)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_does_not_take_the_place_of_another(path):
    run(path)
    with pytest.raises(ConfigError, match="go on with --resume auto"):
        run(path)


def test_of_several_processes_the_first_says_what_is_wrong_with_the_config(path, monkeypatch):
    with pytest.raises(ConfigError, match="sead"):
        run(path, "run.sead=1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(OtherProcessError, match="the first process"):
        run(path, "run.sead=1")


def test_several_processes_look_for_the_checkpoint_before_anything_is_prepared(path: Path) -> None:
    """What is wrong with the checkpoint is told before networks are made."""
    prepared = []
    with pytest.raises(ConfigError, match="nowhere is no checkpoint"):
        run_trainer(TinyConfig, path, overrides=[], resume="nowhere", prepare=prepared.append)
    with pytest.raises(ConfigError, match="give it with --resume auto"):
        run_trainer(TinyConfig, path, overrides=[], resume=None, skips_damaged=True, prepare=prepared.append)
    assert prepared == []


def test_damaged_checkpoints_are_passed_over_where_asked(path: Path, tmp_path: Path) -> None:
    steps = "stages=[{patch_size: 8, batch_size: 1, steps: 2}]"
    assert run(path, steps, "run.checkpoint_every=1")
    newest = tmp_path / "run/checkpoints/step_00000002"
    (newest / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(WeightsError, match=r"step_00000002/model\.safetensors is not what was written"):
        run(path, steps, "run.checkpoint_every=1", resume="auto")
    assert run(path, steps, "run.checkpoint_every=1", resume="auto", skips_damaged=True)
    assert len((newest / "model.safetensors").read_bytes()) > 3


def test_overrides_win_over_the_file(path: Path, tmp_path: Path) -> None:
    assert run(path, f"run.output_dir={tmp_path / 'other'}", "run.seed=8")
    written = yaml.safe_load((tmp_path / "other/config.yaml").read_text())
    assert written["run"]["seed"] == 8 and not (tmp_path / "run").exists()
