"""Trains a regressor of the fast track: L1 and Fourier L1 on progressive patches."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.config import load_config
from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.synthetic import SyntheticDataConfig, SyntheticDataset
from ldrestore.errors import ConfigError, WeightsError, WeightsUnavailableError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.training.checkpoint import find_checkpoint
from ldrestore.training.config import EmaConfig, OptimizerConfig, RunConfig, StageConfig
from ldrestore.training.loading import Batch
from ldrestore.training.loop import train
from ldrestore.training.losses import fourier_l1_loss, l1_loss, relative
from ldrestore.training.validation import ValidationConfig, ValidationPair, create_pairs, validate_pairs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Which network is trained."""

    name: str
    """Registry name of a regressor."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments that win over those of the registered variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressorLossConfig:
    """Weights of the losses."""

    l1_weight: float = 1.0
    """Factor of the mean absolute difference."""
    fourier_weight: float = 0.1
    """Factor of the mean absolute difference of the spectra, see `losses.fourier_l1_loss`; 0 leaves it out."""
    reduction: Literal["mean", "relative"] = "mean"
    """How the pictures' losses become one number: their mean, or "relative", the mean of their logarithms."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.l1_weight, self.fourier_weight) < 0 or self.l1_weight + self.fourier_weight == 0:
            raise ConfigError(
                "loss: weights must not be negative, and one of them positive, "
                f"got l1_weight {self.l1_weight}, fourier_weight {self.fourier_weight}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressorTrainingConfig:
    """Everything that a run of this trainer depends on."""

    run: RunConfig
    """Where and how the run happens."""
    network: NetworkConfig
    """Which network is trained."""
    data: SyntheticDataConfig | PairedDataConfig
    """Training pictures: clean folders with a mixture of degradations, or two folders of pairs."""
    stages: tuple[StageConfig, ...]
    """Stages of progressive patches."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and schedule."""
    loss: RegressorLossConfig = field(default_factory=RegressorLossConfig)
    """Weights of the losses."""
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    """Moving average of the weights; null for none."""
    validation: ValidationConfig | None = None
    """What is validated; null for nothing."""
    init_from: Path | None = None
    """Weights to start from: a safetensors file, or the folder of a pipeline or regressor."""

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        if not self.stages:
            raise ConfigError("stages is empty; give at least one with patch_size, batch_size and steps")


class RegressorTask:
    """The task that the loop trains."""

    def __init__(self, config: RegressorTrainingConfig) -> None:
        """Keep the config; pictures are read when they are needed."""
        self.config = config
        self._pairs: list[ValidationPair] | None = None

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size."""
        data, seed = self.config.data, self.config.run.seed
        if isinstance(data, PairedDataConfig):
            return PairedDataset(data, patch_size=stage.patch_size, seed=seed)
        return SyntheticDataset(data, patch_size=stage.patch_size, seed=seed)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of L1 and Fourier L1, reduced over the pictures.

        Args:
            model: Takes lq to restored.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1].

        Returns:
            The reduced sum, and the means of its parts "l1" and "fourier_l1".
        """
        weights = self.config.loss
        restored = model(batch["lq"])  # (B, 3, P, P)
        parts = {"l1": l1_loss(restored, batch["gt"])}  # (B,) each
        total = weights.l1_weight * parts["l1"]
        if weights.fourier_weight > 0:
            parts["fourier_l1"] = fourier_l1_loss(restored, batch["gt"])
            total = total + weights.fourier_weight * parts["fourier_l1"]
        reduced = relative(total) if weights.reduction == "relative" else total.mean()
        return reduced, {name: part.mean() for name, part in parts.items()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR for each recipe of the validation config, in dB."""
        if self.config.validation is None:
            return {}
        if self._pairs is None:
            self._pairs = create_pairs(self.config.validation)
        return validate_pairs(network, self._pairs)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a pipeline folder that `FastRestorePipeline.from_pretrained` loads."""
        network = create_regressor(self.config.network.name, **self.config.network.options)
        network.load_state_dict(weights)
        FastRestorePipeline(regressor=network.eval()).save_pretrained(folder)


def train_regressor(path: Path, *, overrides: list[str], resume: str | None) -> bool:
    """Train a regressor as a YAML file says.

    Args:
        path: YAML of a `RegressorTrainingConfig`.
        overrides: "section.key=value" strings.
        resume: None, "auto", or the folder of a checkpoint, see `checkpoint.find_checkpoint`.

    Returns:
        Whether the run is finished; False where a signal stopped it.

    Raises:
        LDRestoreError: the config is wrong, a file is missing, or training diverged.
    """
    config = load_config(RegressorTrainingConfig, path, overrides)
    checkpoint = find_checkpoint(config.run, resume)
    torch.manual_seed(config.run.seed)
    network = create_regressor(config.network.name, **config.network.options)
    logger.info("%s: %d parameters", config.network.name, sum(weight.numel() for weight in network.parameters()))
    if config.init_from is not None and checkpoint is None:
        load_initial_weights(network, config.init_from)
    return train(config, task=RegressorTask(config), network=network, checkpoint=checkpoint)


def load_initial_weights(network: nn.Module, path: Path) -> None:
    """Load weights to start from; every key must fit.

    Args:
        network: Filled in place.
        path: A safetensors file, or the folder of a pipeline or regressor that holds one.

    Raises:
        WeightsUnavailableError: no weights lie there.
        WeightsError: keys or shapes do not fit.
    """
    name = "diffusion_pytorch_model.safetensors"
    candidates = [path / "regressor" / name, path / name] if path.is_dir() else [path]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise WeightsUnavailableError(f"no weights at {', or '.join(map(str, candidates))}; check init_from")
    try:
        network.load_state_dict(load_file(found))
    except RuntimeError as error:
        raise WeightsError(f"{found} does not fit the network: {error}") from error
