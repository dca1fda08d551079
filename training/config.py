"""The sections of a training config that every trainer shares; a trainer adds its own beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ldrestore.errors import ConfigError


def _require_positive(section: str, **values: float) -> None:
    """Refuse values of zero and below.

    Raises:
        ConfigError: a value is not positive.
    """
    for name, value in values.items():
        if value <= 0:
            raise ConfigError(f"{section}.{name} must be positive, got {value}")


def require_stages(stages: tuple["StageConfig", ...]) -> None:
    """Refuse a run of no steps.

    Raises:
        ConfigError: there is no stage.
    """
    if not stages:
        raise ConfigError("stages is empty; give at least one with patch_size, batch_size and steps")


def require_start_of_shared(init_from: Path | None, *, train_shared: bool) -> None:
    """Refuse to leave as it is what a run makes anew.

    Args:
        init_from: What it starts from.
        train_shared: Whether what all degradations share is trained.

    Raises:
        ConfigError: it starts from nothing, and is not trained.
    """
    if not train_shared and init_from is None:
        raise ConfigError("train_shared: false needs init_from, whose weights stay as they are")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Where and how a run happens, whatever it trains."""

    output_dir: Path
    """Folder of the run: config, metrics, checkpoints, exported weights."""
    seed: int = 0
    """Start of all random numbers: initial weights, order of the pictures, crops and degradations."""
    device: Literal["auto", "cpu"] = "auto"
    """"auto" takes the accelerator that is there, "cpu" never does."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Precision of the forward pass; weights, gradients and optimizer stay float32. Wins over accelerate's setting."""
    gradient_accumulation_steps: int = 1
    """Forward passes a process makes for one optimizer step."""
    channels_last: bool = False
    """Whether weights and pictures lie in memory with the channels innermost: faster convolutions on most devices."""
    compile: bool = False
    """Whether torch.compile makes the network's passes: faster after minutes of compiling, never equal to the bit."""
    num_workers: int = 2
    """Processes that load pictures for each training process; 0 loads in the training process. Results stay equal."""
    log_every: int = 50
    """Optimizer steps between two lines of metrics."""
    validate_every: int = 1000
    """Optimizer steps between two validations; the last step is always validated."""
    checkpoint_every: int = 1000
    """Optimizer steps between two checkpoints; the last step always has one."""
    keep_checkpoints: int = 3
    """Newest checkpoints that are kept; older ones are deleted."""
    tracker: Literal["none", "tensorboard"] = "none"
    """Where metrics go besides metrics.jsonl."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require_positive(
            "run",
            gradient_accumulation_steps=self.gradient_accumulation_steps,
            log_every=self.log_every,
            validate_every=self.validate_every,
            checkpoint_every=self.checkpoint_every,
            keep_checkpoints=self.keep_checkpoints,
        )
        if self.num_workers < 0 or self.seed < 0:
            raise ConfigError(
                f"run.num_workers and run.seed must not be negative, got {self.num_workers} and {self.seed}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """AdamW, or Muon, under a schedule with linear warm-up."""

    name: Literal["adamw", "muon"] = "adamw"
    """AdamW, Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101; or Muon for the weights of dense layers and
    AdamW for all else, under the same learning rate, see `ldrestore.training.loop.muon`."""
    learning_rate: float = 1e-3
    """Highest learning rate, reached at the end of the warm-up."""
    min_learning_rate: float = 1e-7
    """Learning rate at the end of the cosine."""
    warmup_steps: int = 0
    """Optimizer steps over which the learning rate rises linearly."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """How the rate falls after the warm-up: along half a cosine, or by a factor at each of `decay_steps`."""
    hold_steps: int = 0
    """Optimizer steps after the warm-up during which the cosine has not begun."""
    schedule_steps: int | None = None
    """Optimizer steps at which the cosine ends; null for the last one of the run. A run may end before its cosine."""
    decay_steps: tuple[int, ...] = ()
    """Optimizer steps at which the rate falls, for "steps"."""
    decay_factor: float = 0.5
    """What the rate is multiplied by at each of `decay_steps`, in (0, 1)."""
    betas: tuple[float, float] = (0.9, 0.9)
    """Decay of the two moments; (0.9, 0.9) as NAFNet was trained."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on all parameters."""
    max_grad_norm: float | None = 1.0
    """Largest L2 norm of all gradients together; larger ones are scaled down to it. None does not clip. A refiner's
    module and discriminator count apart."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require_positive("optimizer", learning_rate=self.learning_rate)
        if self.max_grad_norm is not None:
            _require_positive("optimizer", max_grad_norm=self.max_grad_norm)
        if not 0 <= self.min_learning_rate <= self.learning_rate:
            raise ConfigError(
                "optimizer.min_learning_rate must lie in [0, learning_rate], "
                f"got {self.min_learning_rate} and {self.learning_rate}"
            )
        self._check_schedule()
        if self.warmup_steps < 0 or self.weight_decay < 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(
                "optimizer: expected warmup_steps >= 0, weight_decay >= 0 and betas in [0, 1), "
                f"got {self.warmup_steps}, {self.weight_decay} and {self.betas}"
            )

    def _check_schedule(self) -> None:
        """Refuse what the chosen schedule would not read.

        Raises:
            ConfigError: an option of the other schedule, or one out of range.
        """
        if self.schedule == "steps":
            if not self.decay_steps or not 0 < self.decay_factor < 1:
                raise ConfigError(
                    "optimizer.schedule steps needs decay_steps and a decay_factor in (0, 1), "
                    f"got {list(self.decay_steps)} and {self.decay_factor}"
                )
            if self.hold_steps or self.schedule_steps is not None:
                raise ConfigError(
                    "optimizer.schedule steps reads neither hold_steps nor schedule_steps; leave them out"
                )
            return
        if self.decay_steps:
            raise ConfigError("optimizer.decay_steps needs schedule: steps")
        end = self.schedule_steps
        if self.hold_steps < 0 or (end is not None and end <= self.warmup_steps + self.hold_steps):
            raise ConfigError(
                "optimizer: expected hold_steps >= 0 and schedule_steps beyond warmup_steps + hold_steps, "
                f"got {self.hold_steps} and {end}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """One stage of progressive training: later stages take larger patches and smaller batches.

    Zamir et al. 2022, Restormer, section 3.3, https://arxiv.org/abs/2111.09881.
    """

    patch_size: int
    """Side of the square training crops in pixels."""
    batch_size: int
    """Pictures of one forward pass of one process; an optimizer step sees this x processes x accumulation steps."""
    steps: int
    """Optimizer steps."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        _require_positive("stages", patch_size=self.patch_size, batch_size=self.batch_size, steps=self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmaConfig:
    """Exponential moving average of the weights, the ones that are validated and exported."""

    decay: float = 0.999
    """Share of the old average that one step keeps, in (0, 1); less in the first steps, see `ema.decay_at`."""

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 < self.decay < 1:
            raise ConfigError(f"ema.decay must lie in (0, 1), got {self.decay}; write 'ema: null' to train without")


class TrainingConfig(Protocol):
    """What the loop reads; the config dataclass of every trainer has these sections and its own beside them."""

    @property
    def run(self) -> RunConfig:
        """Where and how the run happens."""
        ...

    @property
    def optimizer(self) -> OptimizerConfig:
        """Optimizer and schedule."""
        ...

    @property
    def stages(self) -> tuple[StageConfig, ...]:
        """Stages in their order, at least one."""
        ...

    @property
    def ema(self) -> EmaConfig | None:
        """Moving average of the weights; None for none."""
        ...


def num_steps(stages: tuple[StageConfig, ...]) -> int:
    """Optimizer steps of all stages together."""
    return sum(stage.steps for stage in stages)


def stage_at(step: int, stages: tuple[StageConfig, ...]) -> tuple[StageConfig, int]:
    """The stage of the step that follows `step` done ones, and the number of steps done at its end.

    Raises:
        ConfigError: no stage reaches that far.
    """
    stage_end = 0
    for stage in stages:
        stage_end += stage.steps
        if step < stage_end:
            return stage, stage_end
    raise ConfigError(f"the stages have {stage_end} steps together, there is none after step {step}")
