"""The hook before a method of a network that may be off-loaded, with its type."""

from collections.abc import Callable
from typing import Any, TypeVar

_Method = TypeVar("_Method", bound=Callable[..., Any])

def apply_forward_hook(method: _Method) -> _Method: ...
