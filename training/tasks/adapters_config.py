"""What a training run of stage 1 depends on: adapters and prompts upon a frozen diffusion model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from ldrestore.adapters.injection import InjectionKind
from ldrestore.errors import ConfigError
from ldrestore.prompts.textual_prompts import PromptOrder
from ldrestore.training.config import (
    EmaConfig,
    OptimizerConfig,
    RunConfig,
    StageConfig,
    require_stages,
    require_start_of_shared,
)
from ldrestore.training.data.training_data import PairDataConfig
from ldrestore.training.losses.restoring_loss import DiffusionLossConfig
from ldrestore.training.losses.validation import ValidationConfig
from ldrestore.training.networks.frozen_base import BaseConfig

PartName = Literal["cm_adapter", "textual_prompts", "ir_adapter", "injection"]
"""What can be trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSizes:
    """Sizes of new adapters; the defaults are the released ones. With `init_from` those of the earlier run count."""

    num_tokens: int = 16
    """Words a degradation of the CM-Adapter, and of the textual pool."""
    num_token_heads: int = 8
    """Heads of the CM-Adapter's attentions."""
    order: PromptOrder = "released"
    """What comes first in the text, see `TextualPromptPool`."""
    channels: tuple[int, ...] = (128, 256, 384, 512)
    """Of the IR-Adapter's scales, as many as the U-Net has."""
    num_res_blocks: int = 2
    """Residual blocks of a scale of the IR-Adapter."""
    attention_levels: tuple[int, ...] = (0, 1, 2)
    """Scales of the IR-Adapter that attend to themselves."""
    num_heads: int = 4
    """Heads of these attentions."""
    num_groups: int = 32
    """Groups of the IR-Adapter's normalisations."""
    num_prompts: int = 24
    """Visual prompts a degradation and scale; 0 for an IR-Adapter without pools, an ablation of the paper."""
    prompt_dim: int = 512
    """Their width."""
    num_prompt_heads: int = 8
    """Heads of the attention to them."""
    prompt_head_dim: int = 64
    """Width of such a head."""
    feature_channels: int = 512
    """Of the features that enter the U-Net."""
    hidden_channels: int = 128
    """Of the injection layers, between features and gamma and beta."""
    injection: InjectionKind = "residual"
    """How the features enter, see `InjectionLayer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptersTrainingConfig:
    """Everything that a run of this trainer depends on."""

    trainer: Literal["adapters"] = "adapters"
    """Which trainer this is."""
    run: RunConfig
    """Where and how the run happens."""
    base: BaseConfig
    """The frozen diffusion model."""
    predictor: Path
    """Folder of the degradation predictor, or of a run's export or pipeline that has it; its names are the rows."""
    data: PairDataConfig
    """Training pictures."""
    stages: tuple[StageConfig, ...]
    """Stages of progressive patches."""
    parts: tuple[PartName, ...] = get_args(PartName)
    """What is trained; the paper's ablations leave some out."""
    sizes: AdapterSizes = field(default_factory=AdapterSizes)
    """Of new adapters."""
    loss: DiffusionLossConfig = field(default_factory=DiffusionLossConfig)
    """How timesteps are weighed."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and schedule."""
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    """Moving average of the weights; null for none."""
    validation: ValidationConfig | None = None
    """What is validated; null for nothing."""
    sampling_steps: int | None = 8
    """Steps in which validation restores its pictures, to tell their PSNR; null leaves it at the loss."""
    init_from: Path | None = None
    """Adapters to start from. Degradations that the predictor knows beyond theirs are added as new rows; the old rows
    are then trained no more."""
    train_shared: bool = True
    """Where rows are added: whether what all degradations share, such as the injection layers, is trained too."""

    def __post_init__(self) -> None:
        """Check what belongs together."""
        require_stages(self.stages)
        if not self.parts or len(set(self.parts)) != len(self.parts):
            raise ConfigError(f"parts must be one or more different names, got {list(self.parts)}")
        if self.sampling_steps is not None and self.sampling_steps < 1:
            raise ConfigError(f"sampling_steps must be at least 1, got {self.sampling_steps}; null samples nothing")
        require_start_of_shared(self.init_from, train_shared=self.train_shared)
