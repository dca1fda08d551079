import math

import pytest

from ldrestore.errors import ConfigError
from ldrestore.training.config import OptimizerConfig
from ldrestore.training.loop.schedule import learning_rate_at

CONFIG = OptimizerConfig(learning_rate=1.0, min_learning_rate=0.1, warmup_steps=4)


def test_warm_up_is_linear_and_ends_at_the_highest_rate():
    rates = [learning_rate_at(step, num_steps=21, config=CONFIG) for step in range(5)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_ends_at_the_lowest_rate():
    assert learning_rate_at(12, num_steps=21, config=CONFIG) == pytest.approx(0.55)
    assert learning_rate_at(20, num_steps=21, config=CONFIG) == pytest.approx(0.1)


def test_rate_never_rises_after_the_warm_up():
    rates = [learning_rate_at(step, num_steps=50, config=CONFIG) for step in range(4, 50)]
    assert rates == sorted(rates, reverse=True)


def test_a_held_rate_is_constant_before_the_cosine():
    config = OptimizerConfig(learning_rate=1.0, min_learning_rate=0.0, warmup_steps=2, hold_steps=8)
    rates = [learning_rate_at(step, num_steps=31, config=config) for step in range(31)]
    assert rates[2:11] == [1.0] * 9
    assert rates[20] == pytest.approx(0.5)
    assert rates[30] == pytest.approx(0.0)


def test_a_run_may_end_before_its_cosine():
    config = OptimizerConfig(learning_rate=1.0, min_learning_rate=0.0, schedule_steps=41)
    assert learning_rate_at(20, num_steps=21, config=config) == pytest.approx(0.5)


def test_the_rate_falls_by_the_factor_at_each_of_the_steps():
    config = OptimizerConfig(learning_rate=0.8, schedule="steps", decay_steps=(3, 5), decay_factor=0.5)
    assert [learning_rate_at(step, num_steps=7, config=config) for step in range(2, 7)] == [0.8, 0.4, 0.4, 0.2, 0.2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "steps"}, "needs decay_steps"),
        ({"schedule": "steps", "decay_steps": (3,), "decay_factor": 1.0}, "needs decay_steps"),
        ({"schedule": "steps", "decay_steps": (3,), "hold_steps": 2}, "reads neither hold_steps nor schedule_steps"),
        ({"decay_steps": (3,)}, "needs schedule: steps"),
        ({"hold_steps": -1}, "hold_steps >= 0"),
        ({"warmup_steps": 5, "schedule_steps": 5}, "schedule_steps beyond warmup_steps"),
    ],
)
def test_options_that_a_schedule_would_not_read_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        OptimizerConfig(**options)


def literal_rate(step: int, *, num_steps: int, warmup: int, hold: int) -> float:
    """From 0.002 to 1e-5: Eq. 5 of SGDR between the end of what is held and the last step, which is number n - 1."""
    if step < warmup:
        return 0.002 * (step + 1) / warmup
    if step < warmup + hold:
        return 0.002
    now, whole = step - warmup - hold, num_steps - 1 - warmup - hold
    return 1e-5 + 0.5 * (0.002 - 1e-5) * (1 + math.cos(math.pi * now / whole))


@pytest.mark.parametrize(("warmup", "hold"), [(0, 0), (7, 0), (0, 11), (5, 20)])
def test_every_rate_is_that_of_the_paper_s_equation(warmup: int, hold: int) -> None:
    config = OptimizerConfig(learning_rate=0.002, min_learning_rate=1e-5, warmup_steps=warmup, hold_steps=hold)
    for step in range(80):
        expected = literal_rate(step, num_steps=80, warmup=warmup, hold=hold)
        assert learning_rate_at(step, num_steps=80, config=config) == pytest.approx(expected, rel=1e-9)


def test_a_cosine_that_has_ended_stays_at_the_lowest_rate() -> None:
    config = OptimizerConfig(learning_rate=1.0, min_learning_rate=0.25, schedule_steps=10)
    rates = [learning_rate_at(step, num_steps=30, config=config) for step in range(9, 30)]
    assert rates == pytest.approx([0.25] * 21)


def test_a_warm_up_as_long_as_the_run_ends_at_the_highest_rate() -> None:
    config = OptimizerConfig(learning_rate=0.4, warmup_steps=4)
    rates = [learning_rate_at(step, num_steps=4, config=config) for step in range(4)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_steps_fall_after_a_warm_up_too_and_a_milestone_within_it_counts() -> None:
    config = OptimizerConfig(
        learning_rate=1.0, warmup_steps=4, schedule="steps", decay_steps=(2, 6), decay_factor=0.1, max_grad_norm=None
    )
    rates = [learning_rate_at(step, num_steps=9, config=config) for step in range(9)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_a_run_of_one_step_has_the_highest_rate() -> None:
    assert learning_rate_at(0, num_steps=1, config=OptimizerConfig(learning_rate=0.3)) == 0.3
