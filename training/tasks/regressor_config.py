"""What a training run of a regressor depends on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ldrestore.datasets.domains import MultiDomainDataConfig
from ldrestore.datasets.hinted import HintedDataConfig
from ldrestore.datasets.paired import PairedDataConfig
from ldrestore.datasets.synthetic import SyntheticDataConfig
from ldrestore.degradations.catalog import DEGRADATIONS
from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.training.config import EmaConfig, OptimizerConfig, RunConfig, StageConfig, require_stages
from ldrestore.training.data.guidance_config import EmbeddingsConfig, InstructionConfig
from ldrestore.training.losses.picture_losses import RELATIVE_FLOOR
from ldrestore.training.losses.validation import ValidationConfig


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
    relit_weight: float = 0.0
    """Factor of the mean squared difference of the picture with its light changed alone, reduced like the others, for
    networks that take hints. Where it is the only loss, only the light is computed."""
    auxiliary: Mapping[str, float] = field(default_factory=dict)
    """Factors of the network's own losses by name, see `RegressorRecord.auxiliary_losses`; those that are not named, or
    null, are off."""
    reduction: Literal["mean", "relative"] = "mean"
    """How the pictures' losses become one number: their mean, or "relative", the mean of their logarithms."""
    relative_floor: float = RELATIVE_FLOOR
    """For "relative": what is added to an absolute loss before its logarithm, and its square to a squared one."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        weights = {
            "l1": self.l1_weight,
            "fourier": self.fourier_weight,
            "squared": self.squared_weight,
            "relit": self.relit_weight,
        }
        if min(*weights.values(), self.estimate_weight) < 0 or sum(weights.values()) == 0:
            raise ConfigError(
                "loss: weights must not be negative, and one of the pictures' positive, "
                f"got {weights}, estimate {self.estimate_weight}"
            )
        if self.relative_floor <= 0:
            raise ConfigError(f"loss.relative_floor must be positive, got {self.relative_floor}")
        given = {name: weight for name, weight in self.auxiliary.items() if weight is not None}
        object.__setattr__(self, "auxiliary", given)  # null takes away what a file gives
        for name, weight in given.items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or weight <= 0:
                raise ConfigError(
                    f"loss.auxiliary.{name} must be a positive number, got {weight!r}; leave it out for 0"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressorTrainingConfig:
    """Everything that a run of this trainer depends on."""

    trainer: Literal["regressor"] = "regressor"
    """Which trainer this is."""
    run: RunConfig
    """Where and how the run happens."""
    network: NetworkConfig
    """Which network is trained."""
    data: SyntheticDataConfig | HintedDataConfig | MultiDomainDataConfig | PairedDataConfig
    """Training pictures: clean folders with a mixture of degradations, such with hints, several domains of such, or
    folders of pairs."""
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
    instructions: InstructionConfig | None = None
    """Instructions that steer the network, and the head that reads them; null for none."""
    embeddings: EmbeddingsConfig | None = None
    """What a guide said of each picture; null for none."""

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        require_stages(self.stages)
        if "estimator" in self.network.train_only and self.loss.estimate_weight == 0:
            raise ConfigError(
                "network.train_only names the estimator: set loss.estimate_weight above 0 to train it, or leave it out"
            )
        if self.loss.estimate_weight > 0:
            self._check_estimate()
        self._check_hints()
        self._check_conditions()

    def _check_estimate(self) -> None:
        """Refuse an estimate without a network that gives one, or without labels.

        Raises:
            ConfigError: there is neither.
            UnknownNameError: the network is to tell of a degradation that nobody knows.
        """
        if not REGRESSORS.get(self.network.name).gives_estimate:
            raise ConfigError(f"{self.network.name} gives no degradation estimate; set loss.estimate_weight to 0")
        if isinstance(self.data, PairedDataConfig) and not self.data.degradations:
            raise ConfigError(
                "pairs without data.degradations have no labels; name them, or set loss.estimate_weight to 0"
            )
        for name in self.network.options.get("degradations", ()):
            DEGRADATIONS.get(name)

    def _check_hints(self) -> None:
        """Refuse hints for a network that takes none, and the other way round.

        Raises:
            ConfigError: the two do not go together.
        """
        takes_hints = REGRESSORS.get(self.network.name).takes_hints
        if takes_hints != isinstance(self.data, HintedDataConfig):
            raise ConfigError(
                f"{self.network.name} takes {'' if takes_hints else 'no '}hints: "
                f"{'give data.pictures and data.hints' if takes_hints else 'give data without hints'}"
            )
        if self.loss.relit_weight > 0 and not takes_hints:
            raise ConfigError(f"loss.relit_weight: {self.network.name} does not change light alone; set it to 0")

    def _check_conditions(self) -> None:
        """Refuse losses, instructions and embeddings that the network does not know.

        Raises:
            ConfigError: it takes none.
            UnknownNameError: it has no such loss.
        """
        record = REGRESSORS.get(self.network.name)
        for name in self.loss.auxiliary:
            if name not in record.auxiliary_losses:
                raise UnknownNameError(f"loss of {self.network.name}", name, record.auxiliary_losses)
        if self.instructions is not None and (not record.takes_embedding or self.embeddings is not None):
            raise ConfigError(
                f"instructions: {self.network.name} takes none, or embeddings are given too; leave one out"
            )
        if "alignment" in self.loss.auxiliary and self.embeddings is None:
            raise ConfigError("loss.auxiliary.alignment has nothing to align to without embeddings; leave it out")
        if self.instructions is not None and self.loss.auxiliary:
            raise ConfigError("instructions: the network's own losses are not computed beside them; leave one out")
        if self.embeddings is not None and not (record.takes_embedding or record.aligns_to_embedding):
            raise ConfigError(f"embeddings: {self.network.name} takes none; leave the section out")
