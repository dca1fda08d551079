"""Trains MPerceiver's degradation predictor on a frozen CLIP tower."""

import logging
from pathlib import Path

import torch

from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.training.entry import Prepared, run_trainer
from ldrestore.training.loop.frozen_rows import freeze_rows
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.tasks.estimator_config import EstimatorTrainingConfig
from ldrestore.training.tasks.estimator_task import EstimatorTask

logger = logging.getLogger(__name__)


def train_estimator(path: Path, *, overrides: list[str], resume: str | None, skips_damaged: bool = False) -> bool:
    """Train a predictor as a YAML file says.

    Args:
        path: YAML of an `EstimatorTrainingConfig`.
        overrides: "section.key=value" strings.
        resume: None, "auto", or the folder of a checkpoint, see `checkpoint.find_checkpoint`.
        skips_damaged: Whether "auto" passes over damaged checkpoints.

    Returns:
        Whether the run is finished; False where a signal stopped it.

    Raises:
        LDRestoreError: the config is wrong, a file is missing, or training diverged.
    """
    return run_trainer(
        EstimatorTrainingConfig,
        path,
        overrides=overrides,
        resume=resume,
        skips_damaged=skips_damaged,
        prepare=lambda config, _: prepare_estimator(config),
    )


def prepare_estimator(config: EstimatorTrainingConfig) -> Prepared:
    """The predictor that a run trains, and its tower."""
    tower = ClipTower.from_pretrained(config.predictor.clip_tower)
    torch.manual_seed(config.run.seed)
    predictor = create_predictor(config, embedding_dim=tower.dim)
    task = EstimatorTask(config, tower=tower, predictor=predictor)
    log_memory_estimate(config, task=task, network=predictor, frozen=[tower])
    return Prepared(network=predictor, task=task)


def create_predictor(config: EstimatorTrainingConfig, *, embedding_dim: int) -> DegradationPredictor:
    """A new predictor, or an earlier one with outputs for what it does not know yet.

    Args:
        config: Names, width, and what to start from.
        embedding_dim: Of the tower.

    Raises:
        ConfigError: the names do not begin with the earlier ones, or it was trained upon another tower or view.
        WeightsError: there is no earlier one.
    """
    names, view = config.predictor.degradations, config.predictor.view
    if config.init_from is None:
        return DegradationPredictor(names, embedding_dim, config.predictor.hidden_dim, view)
    predictor = load_predictor(config.init_from)
    num_old = len(predictor.names)
    if names[:num_old] != predictor.names or predictor.config["embedding_dim"] != embedding_dim:
        raise ConfigError(
            f"the predictor of init_from reads embeddings of width {predictor.config['embedding_dim']} and knows "
            f"{', '.join(predictor.names)}; use its tower (this one gives {embedding_dim}), and begin "
            "predictor.degradations with these names"
        )
    if predictor.view != view:
        raise ConfigError(
            f"the predictor of init_from was trained upon the view {predictor.view}, got predictor.view: {view}; set "
            f"it to {predictor.view}, or train a new predictor"
        )
    if names == predictor.names:
        return predictor
    predictor.grow(names[num_old:])
    freeze_rows(predictor.fc2.weight, num_old)
    freeze_rows(predictor.fc2.bias, num_old)
    predictor.fc1.requires_grad_(config.train_shared)
    return predictor


def load_predictor(folder: Path) -> DegradationPredictor:
    """A predictor from its folder, or from that of a run's export or pipeline.

    Raises:
        WeightsUnavailableError: none lies there.
    """
    found = next((place for place in (folder, folder / "predictor") if (place / "config.json").is_file()), None)
    if found is None:
        raise WeightsUnavailableError(f"no predictor in {folder}; give the export of a run of the estimator")
    return DegradationPredictor.from_pretrained(found, local_files_only=True)
