import itertools

import numpy as np
import pytest

from ldrestore.datasets.random_chain import RandomChainConfig, draw_chain
from ldrestore.errors import ConfigError, UnknownNameError


def drawn_names(config, *, seeds=80):
    return [[step.name for step in draw_chain(config, np.random.default_rng(seed)).steps] for seed in range(seeds)]


def test_chains_come_in_any_order_and_repeat():
    config = RandomChainConfig(weight=1.0, names=("jpeg", "downscale", "haze_wide"), num_steps=(2, 5))
    chains = drawn_names(config)
    assert {len(chain) for chain in chains} == {2, 3, 4, 5}
    assert any(chain.index("jpeg") < chain.index("haze_wide") for chain in chains if {"jpeg", "haze_wide"} <= {*chain})
    assert any(chain.index("jpeg") > chain.index("haze_wide") for chain in chains if {"jpeg", "haze_wide"} <= {*chain})
    assert any(len(set(chain)) < len(chain) for chain in chains)
    assert all(one != other for chain in chains for one, other in itertools.pairwise(chain))


def test_a_single_name_may_follow_itself():
    assert (
        drawn_names(RandomChainConfig(weight=1.0, names=("jpeg", "jpeg"), num_steps=(3, 3)), seeds=2)
        == [["jpeg"] * 3] * 2
    )


def test_each_step_has_its_own_severity():
    steps = draw_chain(
        RandomChainConfig(weight=1.0, names=("jpeg", "rain"), num_steps=(5, 5), severity=(0.2, 0.3)),
        np.random.default_rng(0),
    ).steps
    severities = [dict(step.parameters)["severity"] for step in steps]
    assert len(set(severities)) == 5 and 0.2 <= min(severities) <= max(severities) <= 0.3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"weight": 0}, ConfigError, "weight > 0"),
        ({"num_steps": (0, 2)}, ConfigError, "num_steps >= 1"),
        ({"severity": (0.5, 0.2)}, ConfigError, "low first"),
        ({"names": ()}, ConfigError, "names is empty"),
        ({"names": ("fog",)}, UnknownNameError, "unknown degradation 'fog'"),
    ],
)
def test_wrong_chains_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        RandomChainConfig(**{"weight": 1.0, "names": ("jpeg",), **options})
