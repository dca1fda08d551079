"""The learning rate as a pure function of the step, so that resuming restores nothing."""

import math

from ldrestore.training.config import OptimizerConfig


def learning_rate_at(step: int, *, num_steps: int, config: OptimizerConfig) -> float:
    """Linear warm-up, then half a cosine, Eq. 5 of Loshchilov and Hutter 2017 (https://arxiv.org/abs/1608.03983).

    Args:
        step: Optimizer steps done before this one, 0 to num_steps - 1.
        num_steps: Optimizer steps of the whole run.
        config: Highest and lowest rate, and the length of the warm-up.

    Returns:
        The rate of this step; `config.min_learning_rate` at the last one.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, num_steps - 1 - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.min_learning_rate + cosine * (config.learning_rate - config.min_learning_rate)
