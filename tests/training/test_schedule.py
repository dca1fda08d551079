import pytest

from ldrestore.training.config import OptimizerConfig
from ldrestore.training.schedule import learning_rate_at

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
