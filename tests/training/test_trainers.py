import subprocess
import sys
from dataclasses import is_dataclass

import pytest
import torch
import yaml
from run_files import final_state
from stable_runs import NAMES, adapters_config, save_base, save_pictures

from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.registry import resolve
from ldrestore.training.__main__ import main
from ldrestore.training.loop.checkpoint import check_same_config
from ldrestore.training.tasks.adapters_config import AdaptersTrainingConfig
from ldrestore.training.trainers import TRAINERS, find_trainer, load_training_config


def config_file(tmp_path, values):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_config_names_its_trainer(tmp_path):
    assert find_trainer(config_file(tmp_path, {"run": {}}), []) is TRAINERS["regressor"]
    path = config_file(tmp_path, {"trainer": "estimator"})
    assert find_trainer(path, ["run.seed=1"]) is TRAINERS["estimator"]
    assert find_trainer(path, ["trainer=adapters"]) is TRAINERS["adapters"]


def test_checking_the_config_of_a_regressor_brings_no_networks():
    code = "import ldrestore.training.tasks.regressor_config, sys; assert 'diffusers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_trainers_and_unreadable_files_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown trainer 'adapter'; did you mean 'adapters'"):
        find_trainer(config_file(tmp_path, {"trainer": "adapter"}), [])
    with pytest.raises(ConfigError, match="no configuration file"):
        find_trainer(tmp_path / "missing.yaml", [])
    with pytest.raises(ConfigError, match="expected a mapping at the top, got list"):
        find_trainer(config_file(tmp_path, [1]), [])


def test_a_config_of_another_trainer_is_a_wrong_call(tmp_path):
    assert main([str(config_file(tmp_path, {"trainer": "backbone", "network": {}}))]) == 2


def test_every_trainer_is_there():
    for name, record in TRAINERS.items():
        assert callable(resolve(record.prepare)) and is_dataclass(resolve(record.config_class)), name


def test_checkpoints_that_name_no_trainer_are_regressors():
    check_same_config({"run": {"seed": 1}}, {"trainer": "regressor", "run": {"seed": 1}})
    with pytest.raises(ConfigError, match=r"trainer \(regressor -> adapters\)"):
        check_same_config({"run": {"seed": 1}}, {"trainer": "adapters", "run": {"seed": 1}})


@pytest.fixture
def adapters_run(tmp_path):
    """The config of a run of stage 1."""
    torch.manual_seed(0)
    DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8).save_pretrained(tmp_path / "predictor")
    pictures, base = save_pictures(tmp_path / "pictures"), save_base(tmp_path / "base")
    return adapters_config(tmp_path, pictures, base, tmp_path / "predictor")


def test_the_config_is_checked_as_its_trainer_reads_it(adapters_run):
    assert isinstance(load_training_config(adapters_run, ["run.seed=1"]), AdaptersTrainingConfig)
    with pytest.raises(ConfigError, match="unknown key 'sead'"):
        load_training_config(adapters_run, ["run.sead=1"])


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_stage_1_runs_in_two_processes(adapters_run, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "ldrestore.training", str(adapters_run)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert outcome.returncode == 0, outcome.stderr
    state = final_state(tmp_path / "run")
    assert len(state["processes"]) == 2
    assert outcome.stderr.count("memory: about") == 2
