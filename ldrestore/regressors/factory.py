"""Build a regressor by its registry name."""

import inspect
from typing import TYPE_CHECKING, Any

from ldrestore.errors import ConfigError, LDRestoreError, UnknownNameError
from ldrestore.registry import RegressorRecord, resolve
from ldrestore.regressors.catalog import REGRESSORS

if TYPE_CHECKING:
    from diffusers import ModelMixin
    from torch import nn

    from ldrestore.regressors.onnx_regressor import OnnxRegressor


def list_regressors() -> dict[str, RegressorRecord]:
    """Names that `create_regressor` takes, each with its parameters, operations, tasks, source and licence."""
    return {record.name: record for record in REGRESSORS}


def create_regressor(name: str, **overrides: Any) -> "ModelMixin":
    """Build a network with random weights.

    Args:
        name: A name of `list_regressors()`.
        overrides: Constructor arguments that win over those of the registered variant.

    Returns:
        The network, in training mode; forward takes lq (B, 3, H, W) in [0, 1] to the restored picture of that shape.

    Raises:
        UnknownNameError: no such regressor, or no such constructor argument.
        ConfigError: an argument of a wrong type, or one that builds nothing.
    """
    record = REGRESSORS.get(name)
    network_class = resolve(record.target)
    known = [key for key in inspect.signature(network_class.__init__).parameters if key != "self"]
    for key in overrides:
        if key not in known:
            raise UnknownNameError(f"option of {name}", key, known)
    options = {**record.options, **overrides}
    try:
        return network_class(**options)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, LDRestoreError):
            raise
        raise ConfigError(f"{name} cannot be built with {options} ({error}); check types and sizes") from error


def record_of(network: "nn.Module | OnnxRegressor") -> RegressorRecord:
    """The record that describes a network: the variant with its very options, else one of its class.

    An exported network carries its own.

    Raises:
        UnknownNameError: the class belongs to no registered regressor.
    """
    from ldrestore.regressors.onnx_regressor import OnnxRegressor  # and torch, which a list of names needs not

    if isinstance(network, OnnxRegressor):
        return network.record
    target = f"{type(network).__module__}:{type(network).__name__}"
    same_class = [record for record in REGRESSORS if record.target == target]
    if not same_class:
        raise UnknownNameError("regressor class", target, {record.target for record in REGRESSORS})
    config = dict(getattr(network, "config", {}))
    for record in same_class:
        if all(_plain(config.get(key)) == _plain(value) for key, value in record.options.items()):
            return record
    return same_class[0]


def embedding_shape_of(network: "nn.Module | OnnxRegressor") -> tuple[int, ...] | None:
    """Shape of the embedding that steers one picture; None for a network that takes none when it restores.

    Raises:
        UnknownNameError: the class belongs to no registered regressor.
    """
    if not record_of(network).takes_embedding:
        return None
    return embedding_shape_in_training(network)


def embedding_shape_in_training(network: "nn.Module | OnnxRegressor") -> tuple[int, ...] | None:
    """Shape of the embedding of one picture that a network is trained with; None for a network without."""
    shape = getattr(network, "embedding_shape", None)
    assert shape is None or isinstance(shape, tuple), "a network that takes an embedding says its shape"
    return shape


def width_of_embedding(network: "nn.Module") -> int:
    """How many numbers steer a network that takes one vector a picture."""
    shape = embedding_shape_in_training(network)
    assert shape is not None and len(shape) == 1, "a network that takes one vector"
    return shape[0]


def size_multiple_of(network: "nn.Module | OnnxRegressor") -> int:
    """What a network's height and width are multiples of."""
    multiple = network.size_multiple
    assert isinstance(multiple, int), "every regressor says its multiple"
    return multiple


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON gives them back."""
    return list(value) if isinstance(value, tuple) else value
