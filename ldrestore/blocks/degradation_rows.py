"""Learned tables with a row for each degradation, and how they grow when degradations are added."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Generator, Tensor, nn

from ldrestore.errors import ConfigError

PROMPT_STD = 0.02
"""Standard deviation with which learned prompts are drawn."""


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of degradations, as a table's rows are called.

    Raises:
        ConfigError: there is none, one is no text, or one occurs twice.
    """
    is_list = not isinstance(names, str) and all(isinstance(name, str) and name for name in names)
    if not is_list or not names or len(set(names)) != len(names):
        raise ConfigError(f"expected different names of degradations, at least one, got {names!r}")
    return tuple(names)


def grown_names(names: Sequence[str], new_names: Sequence[str]) -> tuple[str, ...]:
    """The old names and then the new ones.

    Raises:
        ConfigError: nothing is new, or a name is there already.
    """
    known = [name for name in checked_names(new_names) if name in names]
    if known:
        raise ConfigError(f"{', '.join(known)}: there already; name new degradations only")
    return (*names, *new_names)


def draw_rows(*shape: int, generator: Generator | None = None) -> Tensor:
    """New prompts, normal with standard deviation 0.02, on the generator's device."""
    device = None if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device) * PROMPT_STD


def grown_rows(pool: nn.Parameter, num_new: int, *, dim: int = 0, generator: Generator | None = None) -> nn.Parameter:
    """A pool of prompts with more rows, drawn as those of a new pool; see `grown_parameter`.

    Args:
        pool: (..., N, ...), N along `dim`.
        num_new: K, how many rows follow the present ones.
        dim: Axis of the degradations.
        generator: Draws the new rows.

    Returns:
        (..., N + K, ...).
    """
    shape = [*pool.shape]
    shape[dim] = num_new
    return grown_parameter(pool, draw_rows(*shape, generator=generator), dim=dim)


def grown_parameter(parameter: Tensor, new_rows: Tensor, *, dim: int = 0) -> nn.Parameter:
    """A parameter with more rows; the old ones are copied to the bit. An optimiser must be told about it.

    Args:
        parameter: (..., N, ...), N along `dim`.
        new_rows: (..., K, ...), of any type and device.
        dim: Axis of the rows.

    Returns:
        (..., N + K, ...), of the parameter's type and device, and trained if that one was.
    """
    rows = torch.cat([parameter.detach(), new_rows.detach().to(parameter)], dim=dim)
    return nn.Parameter(rows, requires_grad=parameter.requires_grad)


def grown_linear(linear: nn.Linear, num_new: int, *, generator: Generator | None = None) -> nn.Linear:
    """A linear layer with more outputs; the new rows are drawn as those of a new layer.

    Args:
        linear: Of N outputs.
        num_new: K.
        generator: Draws the new rows.

    Returns:
        Of N + K outputs.
    """
    device = "cpu" if generator is None else generator.device
    fresh = nn.Linear(linear.in_features, num_new, bias=linear.bias is not None, device=device)
    reset_linear(fresh, generator)
    grown = nn.Linear(linear.in_features, linear.out_features + num_new, bias=linear.bias is not None, device="meta")
    grown.weight = grown_parameter(linear.weight, fresh.weight)
    if linear.bias is not None:
        grown.bias = grown_parameter(linear.bias, fresh.bias)
    return grown


@torch.no_grad()
def reset_linear(linear: nn.Linear, generator: Generator | None = None) -> None:
    """Draw weight and bias from U(-1/sqrt(D), 1/sqrt(D)), D inputs, as torch does for new layers."""
    bound = 1 / math.sqrt(linear.in_features)
    for parameter in _present(linear.weight, linear.bias):
        parameter.uniform_(-bound, bound, generator=generator)


def _present(*parameters: Tensor | None) -> Iterable[Tensor]:
    """Those that are there."""
    return (parameter for parameter in parameters if parameter is not None)
