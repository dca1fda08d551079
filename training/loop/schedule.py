"""The learning rate as a pure function of the step, so that resuming restores nothing."""

import math

from ldrestore.training.config import OptimizerConfig


def learning_rate_at(step: int, *, num_steps: int, config: OptimizerConfig) -> float:
    """Linear warm-up, then the schedule of the config.

    Args:
        step: Optimizer steps done before this one, 0 to num_steps - 1.
        num_steps: Optimizer steps of the whole run.
        config: The rates, the schedule and its steps.

    Returns:
        The rate of this step.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "steps":
        return config.learning_rate * config.decay_factor ** sum(step >= milestone for milestone in config.decay_steps)
    return _cosine(step, last_step=(config.schedule_steps or num_steps) - 1, config=config)


def _cosine(step: int, *, last_step: int, config: OptimizerConfig) -> float:
    """The highest rate up to `hold_steps`, then half a cosine down to the lowest at `last_step`.

    Eq. 5 of Loshchilov and Hutter 2017 (https://arxiv.org/abs/1608.03983).
    """
    start = config.warmup_steps + config.hold_steps
    progress = max(0.0, (step - start) / max(1, last_step - start))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.min_learning_rate + cosine * (config.learning_rate - config.min_learning_rate)
