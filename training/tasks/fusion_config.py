"""What a training run of UniLDiff's stage 1 depends on: the fusion upon SDXL, then the LQ encoder and the U-Net too."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ldrestore.adapters.daff import Layout, LQSource
from ldrestore.errors import ConfigError
from ldrestore.training.config import EmaConfig, OptimizerConfig, RunConfig, StageConfig, num_steps, require_stages
from ldrestore.training.data.pair_cache import PairCacheConfig
from ldrestore.training.data.training_data import PairDataConfig
from ldrestore.training.losses.restoring_loss import DiffusionLossConfig
from ldrestore.training.losses.validation import ValidationConfig
from ldrestore.training.networks.xl_restorer import UnetTraining, XLBaseConfig

FusionKind = Literal["none", "rsa", "daff"]
"""Nothing, residual self-attention, or DAFF: with `num_double: 0` or `num_single: 0`, Table 4 of the paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionSizes:
    """Sizes of a new fusion; the defaults fit SDXL. With `init_from` those of the earlier run count."""

    kind: FusionKind = "daff"
    """Which one."""
    places: tuple[str, ...] = ("conv_in",)
    """Behind which modules of the U-Net DAFF acts."""
    lq: LQSource = "features"
    """What DAFF sees of the damaged picture."""
    patch_size: int = 2
    """Side in latents of DAFF's tokens."""
    dim: int = 640
    """Width of DAFF's tokens."""
    head_dim: int = 64
    """Width of DAFF's heads, a multiple of 16."""
    num_double: int = 1
    """Double-stream blocks of DAFF."""
    num_single: int = 2
    """Single-stream blocks of DAFF."""
    has_text: bool = True
    """Whether DAFF attends to captions and task prompts."""
    layout: Layout = "ours"
    """How DAFF's parts are put together."""
    position_scale: float = 1.0
    """Factor of DAFF's rows and columns."""
    focus: float | None = None
    """How sharply each token of a new DAFF begins by looking at its own place, see `local_start`; null leaves it to
    training, which at small widths takes long."""
    num_heads: int = 8
    """Heads of RSA."""
    num_blocks: int = 2
    """Blocks of RSA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchConfig:
    """Stage 1b: what is trained beside the fusion, and from when on."""

    after_steps: int | None = None
    """Optimizer steps of the fusion alone, stage 1a; 0 trains all from the start, null the fusion to the end."""
    plateau: int | None = None
    """Validations in a row whose loss is not below the lowest so far, after which stage 1a ends before `after_steps`;
    null leaves it to that alone."""
    unet: UnetTraining = "full"
    """What of the U-Net is trained then; "lora" needs the least memory."""
    lora_rank: int = 16
    """Of the low-rank additions."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if (self.after_steps is not None and self.after_steps < 0) or self.lora_rank < 1:
            raise ConfigError(
                "switch: expected after_steps of at least 0 or null, and lora_rank of at least 1, got "
                f"{self.after_steps} and {self.lora_rank}"
            )
        if self.plateau is not None and self.plateau < 1:
            raise ConfigError(f"switch.plateau must be at least 1 or null, got {self.plateau}")


@dataclass(frozen=True, slots=True, kw_only=True)
class XLTextConfig:
    """What is said of the training pictures."""

    has_tasks: bool = True
    """Whether task prompts name what is wrong; False trains without, a row of Table 5."""
    dropout: float = 0.2
    """Share of the pictures whose task prompt is left out, in [0, 1]."""

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.dropout <= 1:
            raise ConfigError(f"text.dropout must lie in [0, 1], got {self.dropout}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionTrainingConfig:
    """Everything that a run of this trainer depends on."""

    trainer: Literal["fusion"] = "fusion"
    """Which trainer this is."""
    run: RunConfig
    """Where and how the run happens."""
    base: XLBaseConfig
    """SDXL, or what is built like it."""
    data: PairDataConfig
    """Training pictures."""
    stages: tuple[StageConfig, ...]
    """Stages of progressive patches."""
    fusion: FusionSizes = field(default_factory=FusionSizes)
    """Of a new fusion."""
    switch: SwitchConfig = field(default_factory=SwitchConfig)
    """When all else is trained too."""
    text: XLTextConfig = field(default_factory=XLTextConfig)
    """What is said of the pictures."""
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
    """Export of an earlier run of this trainer, whose parts are trained on."""
    cache: PairCacheConfig | None = None
    """Encodes a number of pairs once, for short runs of one stage; the LQ encoder stays as it is then. null draws pairs
    anew, and trains it."""

    def __post_init__(self) -> None:
        """Check what belongs together."""
        require_stages(self.stages)
        if self.sampling_steps is not None and self.sampling_steps < 1:
            raise ConfigError(f"sampling_steps must be at least 1, got {self.sampling_steps}; null samples nothing")
        after = self.switch.after_steps
        if self.switch.plateau is not None and self.validation is None:
            raise ConfigError("switch.plateau waits for validations; give the section validation, or after_steps alone")
        if self.cache is not None and len(self.stages) > 1:
            raise ConfigError(f"cached pairs have one size: give one stage, got {len(self.stages)}")
        if self.fusion.kind == "none" and (after != 0 or self.switch.unet == "frozen"):
            raise ConfigError(
                "without a fusion the U-Net alone learns: give switch.after_steps: 0 and switch.unet full or lora, got "
                f"{after} and {self.switch.unet}"
            )
        if after is not None and after >= num_steps(self.stages):
            raise ConfigError(
                f"switch.after_steps {after} is not within the {num_steps(self.stages)} steps of the run; write null "
                "to train the fusion alone"
            )
