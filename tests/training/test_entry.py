"""The one way into all trainers: config, checkpoint, what is trained, and the loop."""

import pytest
import torch
import yaml
from tiny_run import TinyConfig, TinyTask
from torch import nn

from ldrestore.errors import ConfigError, OtherProcessError, WeightsUnavailableError
from ldrestore.training.entry import Prepared, run_trainer


@pytest.fixture
def path(tmp_path):
    values = {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0},
        "stages": [{"patch_size": 8, "batch_size": 1, "steps": 1}],
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "run.yaml"


def run(path, *overrides, begin=None, resume=None):
    def prepare(config):
        torch.manual_seed(config.run.seed)
        return Prepared(network=nn.Conv2d(3, 3, 1), task=TinyTask(), begin=begin)

    return run_trainer(TinyConfig, path, overrides=list(overrides), resume=resume, prepare=prepare)


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
