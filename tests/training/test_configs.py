"""The configs of the repository."""

from pathlib import Path

import pytest

from ldrestore.config import load_config
from ldrestore.degradations.recipes import parse_recipe
from ldrestore.training.train_regressor import RegressorTrainingConfig

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_loads_and_begins_with_the_command_that_runs_it(path):
    config = load_config(RegressorTrainingConfig, path, [])
    assert path.read_text(encoding="utf-8").startswith(f"# ldrestore train configs/{path.name} ")
    for recipe in (*(share.recipe for share in config.data.mixture), *config.validation.recipes):
        assert recipe == "clean" or parse_recipe(recipe).steps


def test_both_machines_train_the_same_network_on_the_same_data():
    names = ("blind_small_cpu.yaml", "blind_small_gpu.yaml")
    two_cores, gpu = (load_config(RegressorTrainingConfig, CONFIGS[0].parent / name, []) for name in names)
    assert (two_cores.network, two_cores.data, two_cores.loss) == (gpu.network, gpu.data, gpu.loss)
