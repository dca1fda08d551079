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
