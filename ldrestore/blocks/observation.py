"""Looks at what modules inside a network give, without a second way through it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn


@contextmanager
def observed(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """Keep the last output of each module that is called within the block.

    Args:
        modules: Name to module, such as the routers of a mixture of experts.

    Yields:
        Name to output, in the order in which the modules are called; empty at first.
    """
    outputs: dict[str, Any] = {}

    def keep_as(name: str) -> Any:
        def keep(_module: nn.Module, _arguments: Any, output: Any) -> None:
            outputs[name] = output

        return keep

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(keep_as(name)).remove)
        yield outputs
