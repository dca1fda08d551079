"""What a training run of the small prior depends on: one part of it a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ldrestore.datasets.synthetic import SyntheticDataConfig
from ldrestore.degradations.catalog import DEGRADATIONS
from ldrestore.errors import ConfigError
from ldrestore.structures import MPERCEIVER_SET
from ldrestore.training.config import EmaConfig, OptimizerConfig, RunConfig, StageConfig, require_stages
from ldrestore.training.losses.validation import ValidationConfig
from ldrestore.training.networks.small_prior import SmallPriorConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class VaeLossConfig:
    """Weights of the autoencoder's losses."""

    perceptual_weight: float = 0.0
    """Factor of ST-LPIPS beside the mean absolute difference; 0 leaves it out, and needs no package."""
    kl_weight: float = 1e-6
    """Factor of the divergence of the posterior from a standard normal, in nats a value of the picture."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.perceptual_weight, self.kl_weight) < 0:
            raise ConfigError(
                f"vae_loss: weights must not be negative, got {self.perceptual_weight} and {self.kl_weight}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLossConfig:
    """Weights of the CLIP pair's losses."""

    class_weight: float = 1.0
    """Factor of the binary cross-entropy of which degradations are there."""
    severity_weight: float = 1.0
    """Factor of the mean absolute difference of their severities."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.class_weight, self.severity_weight) < 0:
            raise ConfigError(
                f"clip_loss: weights must not be negative, got {self.class_weight} and {self.severity_weight}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnetLossConfig:
    """How the U-Net is trained."""

    caption_dropout: float = 0.1
    """Share of the pictures whose caption is left out, in [0, 1)."""
    min_snr_gamma: float | None = 5.0
    """Largest signal-to-noise ratio that counts, see `diffusion_loss.min_snr_weights`; null weighs all steps alike."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.caption_dropout < 1 or (self.min_snr_gamma is not None and self.min_snr_gamma <= 0):
            raise ConfigError(
                "unet_loss: expected caption_dropout in [0, 1) and min_snr_gamma > 0, "
                f"got {self.caption_dropout} and {self.min_snr_gamma}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneTrainingConfig:
    """Everything that a run of this trainer depends on."""

    trainer: Literal["backbone"] = "backbone"
    """Which trainer this is."""
    part: Literal["vae", "clip", "unet", "xl_unet"]
    """What is trained: the autoencoder, text encoder and vision tower together, the U-Net upon both, or such a U-Net in
    SDXL's form."""
    run: RunConfig
    """Where and how the run happens."""
    data: SyntheticDataConfig
    """Clean pictures and what they are degraded by."""
    stages: tuple[StageConfig, ...]
    """Stages of progressive patches."""
    sizes: SmallPriorConfig = field(default_factory=SmallPriorConfig)
    """Of all parts."""
    degradations: tuple[str, ...] = MPERCEIVER_SET
    """Those that captions and the CLIP pair's heads tell of."""
    degraded_share: float = 0.5
    """Share of the pictures that are shown degraded, in [0, 1]; the others are shown as they are."""
    vae: Path | None = None
    """For a U-Net: the export of the autoencoder's run, or what else has a folder "vae"."""
    clip: Path | None = None
    """For a U-Net: the export of the CLIP pair's run, or what else has its parts."""
    init_from: Path | None = None
    """For the U-Net in SDXL's form: the export of a run of the other U-Net, which it begins as, or a pipeline that has
    it; such as ldrestore/assets/ldrestore_tiny_stable, which has all three."""
    vae_loss: VaeLossConfig = field(default_factory=VaeLossConfig)
    """For the autoencoder."""
    clip_loss: ClipLossConfig = field(default_factory=ClipLossConfig)
    """For the CLIP pair."""
    unet_loss: UnetLossConfig = field(default_factory=UnetLossConfig)
    """For the U-Net."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer and schedule."""
    ema: EmaConfig | None = field(default_factory=EmaConfig)
    """Moving average of the weights; null for none."""
    validation: ValidationConfig | None = None
    """What is validated; null for nothing."""

    def __post_init__(self) -> None:
        """Check what belongs together."""
        require_stages(self.stages)
        if not 0 <= self.degraded_share <= 1:
            raise ConfigError(f"degraded_share must lie in [0, 1], got {self.degraded_share}")
        if (self.part in ("unet", "xl_unet")) != (self.vae is not None and self.clip is not None):
            raise ConfigError(
                "the U-Net is trained upon both others, and these upon none: give vae and clip, the exports of their "
                f"runs, with part: unet and only then; got part: {self.part}, vae: {self.vae}, clip: {self.clip}"
            )
        if (self.part == "xl_unet") != (self.init_from is not None):
            raise ConfigError(
                "the U-Net in SDXL's form is grown from another, and no other part is: give init_from with part: "
                f"xl_unet and only then; got part: {self.part}, init_from: {self.init_from}"
            )
        for name in self.degradations:
            DEGRADATIONS.get(name)
