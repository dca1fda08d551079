"""Weights held against the network that takes them: every key, every shape, nothing left over."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ldrestore.errors import WeightsError, WeightsUnavailableError

ALIGNMENT = 64
"""Bytes; what torch's own allocations are aligned to."""


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a component's safetensors files, from their headers alone.

    Args:
        folder: The component's folder; its weights are in one file or in several.

    Raises:
        WeightsUnavailableError: it has no safetensors file; pickles are read by `convert` alone.
        WeightsError: a file is damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise WeightsUnavailableError(
            f"{folder} has no safetensors weights; make them with ldrestore.conversion.convert"
        )
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                keys = list(file.keys())
                shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in keys}
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is no intact safetensors file ({error}); fetch it again") from error
    return shapes


def check_fit(network: nn.Module, shapes: Mapping[str, Sequence[int]], *, source: str) -> None:
    """Refuse weights that are not a network's: every key must be there, none left over, all shapes alike.

    Args:
        network: May lie on the meta device.
        shapes: Key to shape.
        source: Where the weights come from, for the message.

    Raises:
        WeightsError: a key is missing or unexpected, or a shape differs; the message names the first ones.
    """
    own = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    problems = [f"missing {key}" for key in own if key not in shapes]
    problems += [f"unexpected {key}" for key in shapes if key not in own]
    problems += [
        f"{key} is {tuple(shapes[key])}, expected {own[key]}"
        for key in own
        if key in shapes and tuple(shapes[key]) != own[key]
    ]
    if problems:
        raise WeightsError(
            f"{source} does not fit {type(network).__name__}: {len(problems)} problems, "
            f"first {'; '.join(problems[:4])}; check architecture and layout"
        )


def load_strictly(network: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network; every key must be there, none left over, all shapes alike.

    Args:
        network: Filled in place.
        weights: Key to tensor.
        source: Where they come from, for the message.

    Raises:
        WeightsError: a key is missing or unexpected, or a shape or the kind of numbers differs; the message names the
            first ones.
    """
    check_fit(network, {key: tensor.shape for key, tensor in weights.items()}, source=source)
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point() != weights[key].is_floating_point():
            raise WeightsError(
                f"{source}: {key} holds {weights[key].dtype}, expected {tensor.dtype}; download it again"
            )
    network.load_state_dict(weights)


def align_weights(network: nn.Module) -> None:
    """Copy parameters and buffers that lie at odd addresses, in place.

    Tensors that are mapped from a file start anywhere, and the CPU's convolutions sum in another order there: without
    this, a loaded network would differ from the saved one in the last bits.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.data_ptr() % ALIGNMENT:
            tensor.data = tensor.data.clone()


def count_modules(weights: Mapping[str, Tensor], prefix: str) -> int:
    """How many different names follow a prefix such as "encoders.", in a checkpoint's keys."""
    return len({key.removeprefix(prefix).partition(".")[0] for key in weights if key.startswith(prefix)})
