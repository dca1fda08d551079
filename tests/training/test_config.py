from pathlib import Path

import pytest

from ldrestore.errors import ConfigError
from ldrestore.training.config import EmaConfig, OptimizerConfig, RunConfig, StageConfig, num_steps, stage_at

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
