"""What a training run of stage 2 depends on: the refined decoder upon a frozen autoencoder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ldrestore.errors import ConfigError
from ldrestore.training.config import (
    EmaConfig,
    OptimizerConfig,
    RunConfig,
    StageConfig,
    require_stages,
    require_start_of_shared,
)
from ldrestore.training.data.training_data import PairDataConfig
from ldrestore.training.losses.refiner_losses import RefinerLossWeights
from ldrestore.training.losses.validation import ValidationConfig
from ldrestore.training.networks.frozen_base import BaseConfig
from ldrestore.training.tasks.decoded_latents import RefinerLatentsConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerSizes:
    """Sizes of a new module; the defaults fit Stable Diffusion's autoencoder. With `init_from` its own count."""

    hidden_channels: tuple[int, ...] = (64, 128, 256, 256)
    """Channels inside the module at each resolution, the full one first."""
    num_prompts: int = 24
    """Visual prompts a degradation and resolution."""
    prompt_dim: int = 512
    """Their width."""
    num_res_blocks: int = 2
    """Residual blocks at each resolution."""
    num_swin_blocks: int = 2
    """Swin blocks after them."""
    head_dim: int = 32
    """Width of a head of all attentions."""
    window_size: int = 8
    """Side of the windows of the Swin blocks."""
    norm_num_groups: int = 32
    """Groups of the modulators' normalisations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """The discriminator."""

    base_channels: int = 64
    """Channels after its first layer."""
    num_layers: int = 3
    """Layers that halve the resolution."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.base_channels < 1 or self.num_layers < 1:
            raise ConfigError(
                f"judge: expected positive numbers, got base_channels {self.base_channels} and num_layers "
                f"{self.num_layers}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinerTrainingConfig:
    """Everything that a run of this trainer depends on."""

    trainer: Literal["refiner"] = "refiner"
    """Which trainer this is."""
    run: RunConfig
    """Where and how the run happens."""
    base: BaseConfig
    """The frozen diffusion model."""
    adapters: Path | None = None
    """Export of stage 1, with its predictor; null trains on latents of the ground truth alone."""
    predictor: Path | None = None
    """Folder of the degradation predictor, or of what has it; null for the one beside the adapters."""
    data: PairDataConfig
    """Training pictures."""
    stages: tuple[StageConfig, ...]
    """Stages of progressive patches."""
    sizes: RefinerSizes = field(default_factory=RefinerSizes)
    """Of a new module."""
    latents: RefinerLatentsConfig = field(default_factory=RefinerLatentsConfig)
    """What is decoded."""
    loss: RefinerLossWeights = field(default_factory=RefinerLossWeights)
    """How much each loss counts."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """The discriminator; read where loss.adversarial is above 0."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and schedule, of module and discriminator alike; max_grad_norm bounds the norm of each by itself."""
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    """Moving average of the weights; null for none."""
    validation: ValidationConfig | None = None
    """What is validated; null for nothing."""
    init_from: Path | None = None
    """Module to start from, or what has it in a folder "drm". Degradations that the predictor knows beyond its own are
    added as new prompts; the old ones are then trained no more."""
    train_shared: bool = True
    """Where prompts are added: whether all else in the module is trained too."""

    def __post_init__(self) -> None:
        """Check what belongs together."""
        require_stages(self.stages)
        if self.adapters is None and (self.latents.sampled_share > 0 or self.predictor is None):
            raise ConfigError(
                "without adapters nothing can be sampled, and no predictor stands beside them: give the export of "
                "stage 1, or predictor and latents.sampled_share: 0"
            )
        require_start_of_shared(self.init_from, train_shared=self.train_shared)
