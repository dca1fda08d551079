"""Trains a regressor of the fast track on progressive patches, with what steers it or guides it."""

import logging
from pathlib import Path

import torch
from torch import nn

from ldrestore.errors import ConfigError, UnknownNameError, WeightsUnavailableError
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor, embedding_shape_of
from ldrestore.training.data.embeddings import EmbeddingSource
from ldrestore.training.data.instructions import InstructedRegressor, Instructions
from ldrestore.training.entry import Prepared, run_trainer
from ldrestore.training.tasks.regressor_config import RegressorTrainingConfig
from ldrestore.training.tasks.regressor_task import RegressorTask
from ldrestore.weights.fitting import load_strictly
from ldrestore.weights.published_files import read_checkpoint

logger = logging.getLogger(__name__)


def train_regressor(path: Path, *, overrides: list[str], resume: str | None, skips_damaged: bool = False) -> bool:
    """Train a regressor as a YAML file says.

    Args:
        path: YAML of a `RegressorTrainingConfig`.
        overrides: "section.key=value" strings.
        resume: None, "auto", or the folder of a checkpoint, see `checkpoint.find_checkpoint`.
        skips_damaged: Whether "auto" passes over damaged checkpoints.

    Returns:
        Whether the run is finished; False where a signal stopped it.

    Raises:
        LDRestoreError: the config is wrong, a file is missing, or training diverged.
    """
    return run_trainer(
        RegressorTrainingConfig,
        path,
        overrides=overrides,
        resume=resume,
        skips_damaged=skips_damaged,
        prepare=prepare_regressor,
    )


def prepare_regressor(config: RegressorTrainingConfig, is_new: bool) -> Prepared:
    """What a run trains; see `create_network_and_task`."""
    network, task = create_network_and_task(config, is_new=is_new)
    logger.info("%s: %d parameters", config.network.name, sum(weight.numel() for weight in network.parameters()))
    skips_weights = REGRESSORS.get(config.network.name).routes_to_one
    return Prepared(network=network, task=task, skips_weights=skips_weights)


def create_network_and_task(config: RegressorTrainingConfig, *, is_new: bool) -> tuple[nn.Module, RegressorTask]:
    """What a run trains, and what the loop needs to train it.

    Args:
        config: What the run depends on.
        is_new: Whether it begins, and not goes on from a checkpoint, which has all weights.

    Returns:
        The network with its initial weights, and with the head that reads its instructions if there are some; and its
        task.

    Raises:
        LDRestoreError: network, losses, instructions or embeddings do not go together, or a file is missing.
    """
    torch.manual_seed(config.run.seed)
    network = create_regressor(config.network.name, **config.network.options)
    if config.init_from is not None and is_new:
        load_initial_weights(network, config.init_from)
    if REGRESSORS.get(config.network.name).gives_estimate and config.loss.estimate_weight == 0:
        network.estimator.requires_grad_(False)  # several processes refuse trainable weights without a gradient
    instructions, embeddings = None, None
    check_told(config, network)
    if config.instructions is not None:
        instructions = Instructions(config.instructions)
        network = InstructedRegressor(network, instructions.create_head(txtdim=network.embedding_shape[0]))
    if config.embeddings is not None:
        embeddings = EmbeddingSource(config.embeddings, shape=network.embedding_shape)
    if config.network.train_only:
        freeze_all_but(network, config.network.train_only)
    return network, RegressorTask(config, instructions=instructions, embeddings=embeddings)


def check_told(config: RegressorTrainingConfig, network: nn.Module) -> None:
    """Refuse a network that is told nothing and should be, or something that it cannot take.

    Args:
        config: What the run depends on.
        network: As its options made it.

    Raises:
        ConfigError: instructions or embeddings are missing, too many, or of another shape.
    """
    name, shape = config.network.name, getattr(network, "embedding_shape", None)
    is_told = config.instructions is not None or config.embeddings is not None
    if is_told and shape is None:
        raise ConfigError(f"{name} with these options takes no embedding; leave instructions and embeddings out")
    if not is_told and embedding_shape_of(network) is not None:
        raise ConfigError(
            f"{name} with these options is steered by an embedding: give instructions or embeddings, or options "
            "that leave it out"
        )
    if config.instructions is not None and shape is not None and len(shape) > 1:
        raise ConfigError(f"{name} takes the embeddings of a guide, {shape}, not instructions; give embeddings")


def freeze_all_but(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Leave only some parts trainable.

    Args:
        network: Changed in place.
        parts: Names of its modules, such as "estimator" or "body.ending".

    Raises:
        UnknownNameError: it has no such part.
    """
    known = [name for name, module in network.named_modules() if name and any(True for _ in module.parameters())]
    network.requires_grad_(False)
    for part in parts:
        if part not in known:
            raise UnknownNameError("part of the network", part, known)
        network.get_submodule(part).requires_grad_(True)


def load_initial_weights(network: nn.Module, path: Path) -> None:
    """Load weights to start from; every key must fit, or be one of the network's `body`, whose prompts start anew.

    Args:
        network: Filled in place.
        path: A published file as `convert` takes it, or the folder of a pipeline or regressor.

    Raises:
        WeightsUnavailableError: no weights lie there.
        WeightsError: keys or shapes do not fit.
    """
    name = "diffusion_pytorch_model.safetensors"
    candidates = [path / "regressor" / name, path / name] if path.is_dir() else [path]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise WeightsUnavailableError(f"no weights at {', or '.join(map(str, candidates))}; check init_from")
    weights = read_checkpoint(found)
    body = getattr(network, "body", None)
    if body is not None and weights.keys() == body.state_dict().keys():
        logger.info("%s holds the body alone; all else starts from random weights", found)
        network = body
    if hasattr(network, "adopt"):
        network.adopt(weights)
        return
    load_strictly(network, weights, source=str(found))
