"""Trains a regressor of the fast track on progressive patches, and the degradation estimate of those that give one."""

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
from ldrestore.datasets.domains import MultiDomainDataConfig, MultiDomainDataset
from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.synthetic import SyntheticDataConfig, SyntheticDataset
from ldrestore.degradations.catalog import DEGRADATIONS
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor
from ldrestore.training.checkpoint import find_checkpoint
from ldrestore.training.config import EmaConfig, OptimizerConfig, RunConfig, StageConfig
from ldrestore.training.loading import Batch
from ldrestore.training.loop import train
from ldrestore.training.losses import RELATIVE_FLOOR, estimate_loss, fourier_l1_loss, l1_loss, relative, squared_loss
from ldrestore.training.validation import ValidationConfig, ValidationPair, create_pairs, validate_pairs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Which network is trained."""

    name: str
    """Registry name of a regressor."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments that win over those of the registered variant."""
    train_only: tuple[str, ...] = ()
    """Parts that are trained while the rest stays as it is, such as "estimator"; empty for the whole network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressorLossConfig:
    """Weights of the losses."""

    l1_weight: float = 1.0
    """Factor of the mean absolute difference."""
    fourier_weight: float = 0.1
    """Factor of the mean absolute difference of the spectra, see `losses.fourier_l1_loss`; 0 leaves it out."""
    squared_weight: float = 0.0
    """Factor of the mean squared difference; under "relative" that of its logarithm, the PSNR loss of NAFNet."""
    estimate_weight: float = 0.0
    """Factor of the cross-entropy of the degradation estimate, for networks that give one."""
    reduction: Literal["mean", "relative"] = "mean"
    """How the pictures' losses become one number: their mean, or "relative", the mean of their logarithms."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        weights = {"l1": self.l1_weight, "fourier": self.fourier_weight, "squared": self.squared_weight}
        if min(*weights.values(), self.estimate_weight) < 0 or sum(weights.values()) == 0:
            raise ConfigError(
                "loss: weights must not be negative, and one of the pictures' positive, "
                f"got {weights}, estimate {self.estimate_weight}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressorTrainingConfig:
    """Everything that a run of this trainer depends on."""

    run: RunConfig
    """Where and how the run happens."""
    network: NetworkConfig
    """Which network is trained."""
    data: SyntheticDataConfig | MultiDomainDataConfig | PairedDataConfig
    """Training pictures: clean folders with a mixture of degradations, several domains of such, or folders of pairs."""
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
        if set(self.network.train_only) == {"estimator"} and self.loss.estimate_weight == 0:
            raise ConfigError(
                "network.train_only names the estimator alone: set loss.estimate_weight above 0 to train it"
            )
        if self.loss.estimate_weight > 0:
            if not REGRESSORS.get(self.network.name).gives_estimate:
                raise ConfigError(f"{self.network.name} gives no degradation estimate; set loss.estimate_weight to 0")
            if isinstance(self.data, PairedDataConfig):
                raise ConfigError("pairs from folders have no degradation labels; set loss.estimate_weight to 0")
            for name in self.network.options.get("degradations", ()):
                DEGRADATIONS.get(name)


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
        if isinstance(data, MultiDomainDataConfig):
            return MultiDomainDataset(data, patch_size=stage.patch_size, seed=seed)
        return SyntheticDataset(data, patch_size=stage.patch_size, seed=seed)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of L1, Fourier L1 and squared differences, reduced over the pictures.

        Args:
            model: Takes lq to restored.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1]; for the estimate also "degradations", (B, D), in [0, 1], in
                the order of `list_degradations()`.

        Returns:
            The reduced sum, and the means of "l1" and of what else enters it: "fourier_l1", "squared", "estimate".
        """
        weights = self.config.loss
        if weights.estimate_weight > 0:
            restored, logits = model(batch["lq"], return_estimate=True)  # (B, 3, P, P), (B, N)
        else:
            restored, logits = model(batch["lq"]), None
        parts = {"l1": l1_loss(restored, batch["gt"])}  # (B,) each
        total = weights.l1_weight * parts["l1"]
        if weights.fourier_weight > 0:
            parts["fourier_l1"] = fourier_l1_loss(restored, batch["gt"])
            total = total + weights.fourier_weight * parts["fourier_l1"]
        if weights.squared_weight > 0:
            parts["squared"] = squared_loss(restored, batch["gt"])
        reduced = self._reduce(total, parts.get("squared"))
        if logits is not None:
            parts["estimate"] = estimate_loss(logits, batch["degradations"][:, self._columns()])
            reduced = reduced + weights.estimate_weight * parts["estimate"].mean()
        return reduced, {name: part.mean() for name, part in parts.items()}

    def _columns(self) -> list[int]:
        """Where the names of the network's estimate stand among all degradations."""
        options = {**REGRESSORS.get(self.config.network.name).options, **self.config.network.options}
        known = list_degradations()
        return [known.index(name) for name in options["degradations"]]

    def _reduce(self, absolute: Tensor, squared: Tensor | None) -> Tensor:
        """The pictures' absolute and squared losses, (B,) each, as one number.

        Under "relative" each has its own logarithm, with a floor of the same error in grey levels.
        """
        weights = self.config.loss
        reduced = torch.zeros((), device=absolute.device)
        if weights.l1_weight + weights.fourier_weight > 0:
            reduced = relative(absolute) if weights.reduction == "relative" else absolute.mean()
        if squared is None:
            return reduced
        if weights.reduction == "relative":
            return reduced + weights.squared_weight * relative(squared, RELATIVE_FLOOR**2)
        return reduced + weights.squared_weight * squared.mean()

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
    if REGRESSORS.get(config.network.name).gives_estimate and config.loss.estimate_weight == 0:
        network.estimator.requires_grad_(False)  # several processes refuse trainable weights without a gradient
    if config.network.train_only:
        freeze_all_but(network, config.network.train_only)
    return train(config, task=RegressorTask(config), network=network, checkpoint=checkpoint)


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
    weights = load_file(found)
    body = getattr(network, "body", None)
    if body is not None and weights.keys() == body.state_dict().keys():
        logger.info("%s holds the body alone; all else starts from random weights", found)
        network = body
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError(f"{found} does not fit the network: {error}") from error
