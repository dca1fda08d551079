"""Networks built again from their configurations, filled with other weights, and written."""

from collections.abc import Mapping
from pathlib import Path
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


def weights_of_part(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Those of one part of a network, under the part's own keys.

    Args:
        weights: Key to tensor, of the whole network.
        name: Attribute of the part.
    """
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def save_part(part: Any, weights: Mapping[str, Tensor], folder: Path, *, name: str) -> None:
    """Write a part of a network with weights of the training into a folder of its name.

    Args:
        part: A `ModelMixin` with `ConfigMixin`.
        weights: Key to tensor, of the whole network.
        folder: Exists.
        name: Attribute of the part.

    Raises:
        WeightsError: they do not fit.
    """
    own = weights_of_part(weights, name)
    rebuilt(part, own, source=f"{name} in training").save_pretrained(folder / name)
