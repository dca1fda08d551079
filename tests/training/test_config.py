from collections.abc import Callable
from pathlib import Path

import pytest

from ldrestore.errors import ConfigError
from ldrestore.training.config import (
    EmaConfig,
    OptimizerConfig,
    RunConfig,
    StageConfig,
    num_steps,
    require_stages,
    require_start_of_shared,
    stage_at,
)

STAGES = (
    StageConfig(patch_size=8, batch_size=4, steps=5),
    StageConfig(patch_size=16, batch_size=2, steps=3),
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RunConfig(output_dir=Path("run"), log_every=0), "run.log_every must be positive, got 0"),
        (lambda: RunConfig(output_dir=Path("run"), num_workers=-1), "must not be negative, got -1 and 0"),
        (lambda: OptimizerConfig(learning_rate=0.0), "optimizer.learning_rate must be positive"),
        (lambda: OptimizerConfig(learning_rate=0.1, min_learning_rate=1.0), r"must lie in \[0, learning_rate\]"),
        (lambda: OptimizerConfig(betas=(0.9, 1.0)), r"betas in \[0, 1\)"),
        (lambda: StageConfig(patch_size=8, batch_size=0, steps=1), "stages.batch_size must be positive"),
        (lambda: EmaConfig(decay=1.0), "write 'ema: null' to train without"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_stages_follow_each_other():
    assert num_steps(STAGES) == 8
    assert [stage_at(step, STAGES) for step in (0, 4, 5, 7)] == [(STAGES[0], 5)] * 2 + [(STAGES[1], 8)] * 2
    with pytest.raises(ConfigError, match="the stages have 8 steps together"):
        stage_at(8, STAGES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: RunConfig(output_dir=Path("run"), gradient_accumulation_steps=0),
            "run.gradient_accumulation_steps must",
        ),
        (lambda: RunConfig(output_dir=Path("run"), keep_checkpoints=0), "run.keep_checkpoints must be positive, got 0"),
        (lambda: RunConfig(output_dir=Path("run"), seed=-1), "must not be negative, got 2 and -1"),
        (lambda: OptimizerConfig(max_grad_norm=0.0), "optimizer.max_grad_norm must be positive, got 0.0"),
        (lambda: OptimizerConfig(weight_decay=-0.1), r"weight_decay >= 0 and betas .* got 0, -0\.1"),
        (lambda: OptimizerConfig(warmup_steps=-1), "expected warmup_steps >= 0"),
        (lambda: OptimizerConfig(min_learning_rate=-1e-9), r"must lie in \[0, learning_rate\]"),
        (lambda: OptimizerConfig(schedule_steps=0), "schedule_steps beyond warmup_steps"),
        (lambda: StageConfig(patch_size=0, batch_size=1, steps=1), "stages.patch_size must be positive, got 0"),
        (lambda: StageConfig(patch_size=1, batch_size=1, steps=-2), "stages.steps must be positive, got -2"),
        (lambda: EmaConfig(decay=0.0), r"ema.decay must lie in \(0, 1\), got 0.0; write 'ema: null'"),
        (lambda: require_stages(()), "give at least one with patch_size, batch_size and steps"),
        (lambda: require_start_of_shared(None, train_shared=False), "needs init_from, whose weights stay as they are"),
    ],
)
def test_each_bound_is_held(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_values_at_the_bounds_are_taken() -> None:
    assert OptimizerConfig(learning_rate=0.1, min_learning_rate=0.1, betas=(0.0, 0.0), max_grad_norm=None).betas == (
        0,
        0,
    )
    assert RunConfig(output_dir=Path("run"), seed=0, num_workers=0, keep_checkpoints=1).keep_checkpoints == 1
    require_start_of_shared(None, train_shared=True)
    require_start_of_shared(Path("a"), train_shared=False)
