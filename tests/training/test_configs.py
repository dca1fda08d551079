"""The configs of the repository."""

from pathlib import Path

import pytest
import torch

from ldrestore.config import load_config
from ldrestore.datasets.domains import MultiDomainDataConfig
from ldrestore.datasets.hinted import HintedDataConfig
from ldrestore.datasets.paired import PairedDataConfig
from ldrestore.degradations.recipes import parse_recipe
from ldrestore.regressors.factory import create_regressor
from ldrestore.training.tasks.regressor_config import RegressorTrainingConfig

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
BLIND_SMALL = (FOLDER / "blind_small_cpu.yaml", FOLDER / "blind_small_gpu.yaml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_config_loads_and_begins_with_the_command_that_runs_it(path):
    config = load_config(RegressorTrainingConfig, path, [])
    assert path.read_text(encoding="utf-8").startswith(f"# ldrestore train configs/{path.name}")
    for recipe in (*recipes_of(config.data), *config.validation.recipes):
        assert recipe == "clean" or parse_recipe(recipe).steps
    with torch.device("meta"):
        network = create_regressor(config.network.name, **config.network.options)
    if config.embeddings is not None or config.instructions is not None:
        assert network.embedding_shape is not None


@pytest.mark.parametrize("name", ["nafnet", "restormer", "promptir", "instructir", "moce_ir", "datprl_ir", "mmfe_ir"])
def test_each_architecture_has_a_recipe_and_a_tiny_one(name):
    trained = {path: load_config(RegressorTrainingConfig, path, []).network for path in CONFIGS}
    published = [path for path, network in trained.items() if network.name.startswith(name) and not network.options]
    assert published
    tiny = trained[FOLDER / f"{name}-tiny.yaml"]
    assert tiny.name.startswith(name)
    with torch.device("meta"):
        network = create_regressor(tiny.name, **tiny.options)
    assert sum(parameter.numel() for parameter in network.parameters()) < 3e6


def recipes_of(data):
    """What the pictures of a data config are degraded by."""
    if isinstance(data, MultiDomainDataConfig):
        return [recipe for domain in data.domains for recipe in recipes_of(domain.data)]
    if isinstance(data, HintedDataConfig):
        return recipes_of(data.pictures)
    return data.degradations if isinstance(data, PairedDataConfig) else [share.recipe for share in data.mixture]


@pytest.mark.parametrize(("name", "num_tasks"), [("domains_six_tasks", 6), ("domains_nine_tasks", 9)])
def test_each_task_of_the_domains_is_trained_told_and_validated(name, num_tasks):
    config = load_config(RegressorTrainingConfig, FOLDER / f"{name}.yaml", [])
    tasks = recipes_of(config.data)
    assert len(config.data.domains) == 3 and len(tasks) == len(set(tasks)) == num_tasks
    assert tasks == config.network.options["degradations"]
    assert [*tasks, "clean"] == list(config.validation.recipes)


def test_both_machines_train_the_same_network_on_the_same_data():
    two_cores, gpu = (load_config(RegressorTrainingConfig, path, []) for path in BLIND_SMALL)
    assert (two_cores.network, two_cores.data, two_cores.loss) == (gpu.network, gpu.data, gpu.loss)
