"""The base of what pipelines return, with its type."""

from collections import OrderedDict
from typing import Any

class BaseOutput(OrderedDict[str, Any]):
    def to_tuple(self) -> tuple[Any, ...]: ...

def __getattr__(name: str) -> Any: ...
