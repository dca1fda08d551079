"""The base of attention whose backend can be set, with its type."""

from typing import Any

class AttentionModuleMixin:
    _default_processor_cls: type[Any] | None
    _supports_qkv_fusion: bool

def __getattr__(name: str) -> Any: ...
