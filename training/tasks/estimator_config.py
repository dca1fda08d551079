"""What a training run of the degradation predictor depends on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ldrestore.datasets.domains import MultiDomainDataConfig
from ldrestore.datasets.paired import PairedDataConfig
from ldrestore.datasets.synthetic import SyntheticDataConfig
from ldrestore.degradations.catalog import DEGRADATIONS
from ldrestore.errors import ConfigError
from ldrestore.guides.clip_tower import DEFAULT_TOWER, TowerView
from ldrestore.structures import MPERCEIVER_SET
from ldrestore.training.config import (
    EmaConfig,
    OptimizerConfig,
    RunConfig,
    StageConfig,
    require_stages,
    require_start_of_shared,
)
from ldrestore.training.data.training_data import PairDataConfig, trained_names


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorConfig:
    """The predictor and the tower that it reads."""

    degradations: tuple[str, ...] = MPERCEIVER_SET
    """Its outputs; with `init_from`, those of the earlier one first."""
    hidden_dim: int = 512
    """Width between its layers."""
    clip_tower: str = DEFAULT_TOWER
    """Folder or Hub repository of the frozen tower."""
    view: TowerView = "native"
    """What the tower is shown, see `ClipTower`; with `init_from`, what it was shown before."""

    def __post_init__(self) -> None:
        """Check the names."""
        for name in self.degradations:
            DEGRADATIONS.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorLossConfig:
    """The loss of the predictor."""

    kind: Literal["focal", "cross_entropy"] = "focal"
    """The paper's, or the release's."""
    gamma: float = 2.0
    """For "focal": how much less a picture counts that is recognised already."""

    def __post_init__(self) -> None:
        """Check the range."""
        if self.gamma < 0:
            raise ConfigError(f"loss.gamma must be at least 0, got {self.gamma}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorValidationConfig:
    """Clean pictures, each degraded by every degradation at every severity."""

    folder: Path
    """Clean pictures, not among those of training; read from sub-folders too."""
    severities: tuple[float, ...] = (0.4, 0.7, 1.0)
    """In (0, 1]."""
    num_pictures: int = 8
    """How many pictures are taken, in the order of their paths."""
    crop_size: int = 256
    """Side in pixels of the square at the centre that is taken; pictures that are smaller are taken whole."""
    seed: int = 0
    """Start of the degradations' random numbers."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.severities or not all(0 < severity <= 1 for severity in self.severities):
            raise ConfigError(f"validation.severities must lie in (0, 1], got {list(self.severities)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatorTrainingConfig:
    """Everything that a run of this trainer depends on."""

    trainer: Literal["estimator"] = "estimator"
    """Which trainer this is."""
    run: RunConfig
    """Where and how the run happens."""
    predictor: PredictorConfig
    """The predictor and its tower."""
    data: PairDataConfig
    """Training pictures, of which only the degraded ones are looked at."""
    stages: tuple[StageConfig, ...]
    """Stages of progressive patches."""
    loss: EstimatorLossConfig = field(default_factory=EstimatorLossConfig)
    """The loss."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and schedule."""
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    """Moving average of the weights; null for none."""
    validation: EstimatorValidationConfig | None = None
    """What is validated; null for nothing."""
    init_from: Path | None = None
    """A predictor to start from. Degradations beyond its own become new outputs; the old ones' rows are then trained no
    more."""
    train_shared: bool = True
    """Where outputs are added: whether the layer that all share is trained too."""

    def __post_init__(self) -> None:
        """Check that every picture has a label."""
        require_stages(self.stages)
        if _leaves_clean(self.data):
            raise ConfigError("data.clean_weight must be 0: among the predictor's outputs none is for intact pictures")
        others = trained_names(self.data) - set(self.predictor.degradations)
        if others:
            raise ConfigError(
                f"data shows {', '.join(sorted(others))}, which predictor.degradations does not name; add or leave out"
            )
        require_start_of_shared(self.init_from, train_shared=self.train_shared)


def _leaves_clean(data: PairDataConfig) -> bool:
    """Whether some pictures have no label."""
    if isinstance(data, MultiDomainDataConfig):
        return any(_leaves_clean(domain.data) for domain in data.domains)
    if isinstance(data, PairedDataConfig):
        return not data.degradations
    return isinstance(data, SyntheticDataConfig) and data.clean_weight > 0
