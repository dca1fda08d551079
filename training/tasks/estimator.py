"""Trains MPerceiver's degradation predictor on a frozen CLIP tower."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.estimators.predictor_losses import focal_loss, soft_cross_entropy, soft_labels
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.training.config import StageConfig
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.entry import Prepared
from ldrestore.training.loop.frozen_rows import freeze_rows
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.losses.validation import ValidationConfig, ValidationPair, create_pairs
from ldrestore.training.networks.rebuilding import rebuilt
from ldrestore.training.tasks.estimator_config import EstimatorTrainingConfig, EstimatorValidationConfig

LabelledPairs = list[tuple[float, ValidationPair]]
"""Degraded pictures, each with its severity; what was done is the pair's recipe."""


class EstimatorTask:
    """The task that the loop trains."""

    def __init__(self, config: EstimatorTrainingConfig, *, tower: ClipTower, predictor: DegradationPredictor) -> None:
        """Keep what is needed, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            tower: Frozen.
            predictor: The one that is trained; its names say which labels count.
        """
        self.config, self.tower, self.predictor = config, tower, predictor
        known = list_degradations()
        self.columns = [known.index(name) for name in predictor.names]
        self._pairs = labelled_pairs(config.validation, predictor.names)

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pictures of the stage's patch size."""
        return create_dataset(self.config.data, patch_size=stage.patch_size, seed=self.config.run.seed)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Focal loss or cross-entropy on soft labels; degradations of a mixture share them.

        Args:
            model: Takes embeddings (B, K, D) to logits (B, N).
            batch: "lq", (B, 3, P, P), in [0, 1]; "degradations", (B, D), in the order of `list_degradations()`.

        Returns:
            The loss, and as "top1" the share of pictures whose surest degradation is one that is there.
        """
        labels = soft_labels(batch["degradations"][:, self.columns])  # (B, N)
        logits = model(self._embeddings(batch["lq"]))
        with torch.no_grad():
            top1 = labels.gather(1, logits.argmax(dim=1, keepdim=True)).gt(0).float().mean()
        if self.config.loss.kind == "cross_entropy":
            return soft_cross_entropy(logits, labels), {"top1": top1}
        return focal_loss(logits, labels, gamma=self.config.loss.gamma), {"top1": top1}

    def _embeddings(self, lq: Tensor) -> Tensor:
        """What the frozen tower says of pictures: (B, K, D)."""
        return self.tower.to(lq.device)(lq, view=self.predictor.view)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Top-1 accuracy by degradation, by severity and over all, see `top1_accuracies`."""
        if not self._pairs:
            return {}
        device = next(network.parameters()).device
        return top1_accuracies(
            lambda lq: network(self._embeddings(lq.to(device))), self._pairs, names=self.predictor.names
        )

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write the predictor's folder, as pipelines have it."""
        predictor = rebuilt(self.predictor, weights, source="the predictor in training")
        predictor.save_pretrained(folder / "predictor")


def labelled_pairs(config: EstimatorValidationConfig | None, names: Sequence[str]) -> LabelledPairs:
    """Every picture with every degradation at every severity; equal configs give equal pictures, and None gives none.

    Args:
        config: Pictures and severities.
        names: Degradations.

    Raises:
        ConfigError: the folder is missing or empty.
    """
    pairs: LabelledPairs = []
    if config is None:
        return pairs
    for severity in config.severities:
        made = create_pairs(
            ValidationConfig(
                folder=config.folder,
                recipes=tuple(names),
                severity=severity,
                num_pictures=config.num_pictures,
                crop_size=config.crop_size,
                seed=config.seed,
            )
        )
        pairs += [(severity, pair) for pair in made]
    return pairs


def top1_accuracies(
    logits_of: Callable[[Tensor], Tensor], pairs: LabelledPairs, *, names: Sequence[str]
) -> dict[str, float]:
    """Share of pictures whose largest logit is that of what was done to them.

    Args:
        logits_of: Takes (1, 3, H, W) in [0, 1], on the CPU, to (1, N).
        pairs: What `labelled_pairs` made.
        names: What the N logits stand for.

    Returns:
        "top1", "top1/<degradation>" over all severities, and "top1@<severity>" over all degradations; in [0, 1].
    """
    values: dict[str, list[float]] = {}
    for severity, pair in pairs:
        found = names[int(logits_of(pair.lq.float().div(255.0).unsqueeze(0)).argmax())]
        for key in ("top1", f"top1/{pair.recipe}", f"top1@{severity:g}"):
            values.setdefault(key, []).append(float(found == pair.recipe))
    return {key: float(np.mean(hits)) for key, hits in values.items()}


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
