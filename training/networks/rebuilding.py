"""Networks built again from their configurations, to be filled with other weights."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ldrestore.weights.fitting import load_strictly


def rebuilt(part: Any, weights: Mapping[str, Tensor], *, source: str) -> Any:
    """A second network of the same configuration, with given weights.

    Not by `from_config`: diffusers takes arguments that were given by position, or set later, for defaults there.

    Args:
        part: A `ModelMixin` with `ConfigMixin`.
        weights: Key to tensor.
        source: Where they come from, for the message.

    Raises:
        WeightsError: they do not fit.
    """
    options = {name: value for name, value in part.config.items() if not name.startswith("_")}
    network = type(part)(**options)
    load_strictly(network, weights, source=source)
    return network.eval()
