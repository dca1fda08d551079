"""What a training run of UniLDiff's stage 2 depends on: the decoder with its detail experts."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from ldrestore.errors import ConfigError
from ldrestore.refiners.expert_routing import RoutingUnit
from ldrestore.training.config import EmaConfig, OptimizerConfig, RunConfig, StageConfig, require_stages
from ldrestore.training.data.pair_cache import PairCacheConfig
from ldrestore.training.data.training_data import PairDataConfig
from ldrestore.training.losses.validation import ValidationConfig
from ldrestore.training.networks.xl_restorer import XLBaseConfig
from ldrestore.training.tasks.decoded_latents import RefinerLatentsConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSizes:
    """Sizes of a new module; the defaults fit SDXL's autoencoder."""

    hidden_channels: tuple[int, ...] = (64, 128, 256, 256)
    """Inside the module at each resolution, the full one first."""
    head_dim: int = 32
    """Width of the heads of the shared attention."""
    num_blocks: int = 1
    """NAFBlocks of each expert."""
    top_k: int = 1
    """Experts of one picture or patch."""
    routing: RoutingUnit = "image"
    """What takes one decision. With "image" a step has as many as there are pictures in all processes together."""
    patch_size: int = 16
    """Side of the patches in positions of each resolution, for "patch"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertLossWeights:
    """How much each loss counts, Eq. 10 of UniLDiff."""

    l1: float = 1.0
    """Weight of the mean absolute difference."""
    ssim: float = 0.2
    """Weight of 1 - SSIM."""
    balance: float = 0.01
    """Weight of importance and load of the experts, the mean over the resolutions."""
    lpips: float = 0.0
    """Weight of LPIPS; its weights are those of the metric."""
    lpips_trunk: Literal["vgg", "alex"] = "vgg"
    """Which classifier looks: VGG-16, as most train with, or AlexNet, which costs a twentieth."""
    dists: float = 0.0
    """Weight of DISTS."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        negative = [each.name for each in fields(self) if each.type is float and getattr(self, each.name) < 0]
        if negative or self.l1 + self.ssim == 0:
            raise ConfigError(
                f"loss: weights must not be negative, and l1 or ssim above 0; negative: {', '.join(negative) or 'none'}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailExpertsTrainingConfig:
    """Everything that a run of this trainer depends on."""

    trainer: Literal["detail_experts"] = "detail_experts"
    """Which trainer this is."""
    run: RunConfig
    """Where and how the run happens."""
    base: XLBaseConfig
    """SDXL, or what is built like it."""
    restorer: Path
    """Export of stage 1, with its LQ encoder."""
    data: PairDataConfig
    """Training pictures."""
    stages: tuple[StageConfig, ...]
    """Stages of progressive patches."""
    has_experts: bool = True
    """Whether there is the module; False trains the decoder alone, a row of Table 5."""
    trains_decoder: bool = True
    """Whether the autoencoder's decoder is trained too, as in the paper."""
    decodes: Literal["samples", "lq"] = "samples"
    """Whose latents are decoded: those that stage 1 samples; or, as a control of what sampling is worth, the damaged
    pictures' own."""
    cache: PairCacheConfig | None = None
    """Samples a number of pairs once, for short runs of one stage; null draws pairs and samples anew."""
    sizes: ExpertSizes = field(default_factory=ExpertSizes)
    """Of a new module. With `init_from` those of the earlier one count."""
    latents: RefinerLatentsConfig = field(default_factory=RefinerLatentsConfig)
    """What is decoded."""
    loss: ExpertLossWeights = field(default_factory=ExpertLossWeights)
    """How much each loss counts."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and schedule."""
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    """Moving average of the weights; null for none."""
    validation: ValidationConfig | None = None
    """What is validated; null for nothing."""
    init_from: Path | None = None
    """Export of an earlier run of this trainer, or a saved pipeline, whose module and decoder are trained on."""

    def __post_init__(self) -> None:
        """Check what belongs together."""
        require_stages(self.stages)
        if self.cache is not None and len(self.stages) > 1:
            raise ConfigError(f"cached pairs have one size: give one stage, got {len(self.stages)}")
        if not self.has_experts and not self.trains_decoder:
            raise ConfigError("has_experts: false and trains_decoder: false leave nothing to train; set one of them")
