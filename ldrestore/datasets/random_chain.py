"""Chains of degradations in any order and with repetition: what copied pictures have gone through."""

from dataclasses import dataclass

import numpy as np

from ldrestore.degradations.catalog import step_record
from ldrestore.degradations.recipes import Recipe, Step
from ldrestore.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomChainConfig:
    """Chains drawn anew for each picture, as the high-order degradations of Real-ESRGAN but in any order.

    Wang et al. 2021, https://arxiv.org/abs/2107.10833
    """

    weight: float
    """Relative frequency beside the weights of the named recipes, above 0."""
    names: tuple[str, ...]
    """Degradations and training forms to draw from, equally often; a name that stands twice is drawn twice as often."""
    num_steps: tuple[int, int] = (2, 5)
    """Fewest and most steps of a chain; the same name may come again."""
    severity: tuple[float, float] = (0.05, 0.5)
    """Range in [0, 1] from which each step draws its own severity."""

    def __post_init__(self) -> None:
        """Check the ranges and the names."""
        (fewest, most), (low, high) = self.num_steps, self.severity
        if self.weight <= 0 or not 1 <= fewest <= most or not 0 <= low <= high <= 1:
            raise ConfigError(
                "random_chain: expected weight > 0, num_steps >= 1 and 0 <= severity <= 1, low first, "
                f"got {self.weight}, {self.num_steps}, {self.severity}"
            )
        if not self.names:
            raise ConfigError("random_chain: names is empty; name at least one degradation")
        for name in self.names:
            step_record(name)


def draw_chain(config: RandomChainConfig, generator: np.random.Generator) -> Recipe:
    """Some degradations in a random order, each with a severity of its own; none twice in a row unless it is alone."""
    count = int(generator.integers(config.num_steps[0], config.num_steps[1] + 1))
    is_single = len(set(config.names)) == 1
    steps: list[Step] = []
    while len(steps) < count:
        name = config.names[generator.integers(len(config.names))]
        if is_single or not steps or steps[-1].name != name:
            steps.append(Step(name, (("severity", float(generator.uniform(*config.severity))),)))
    return Recipe(tuple(steps))
