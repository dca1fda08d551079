"""A list of modules that are all of one class, for a reader and a type checker."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, Self, TypeVar, overload

from torch import nn

_M = TypeVar("_M", bound=nn.Module)


class ModulesOf(nn.ModuleList, Generic[_M]):
    """`nn.ModuleList`, which torch declares as a list of any modules; weights keep the same names."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[_M]: ...

        @overload
        def __getitem__(self, idx: slice) -> Self: ...
        @overload
        def __getitem__(self, idx: int) -> _M: ...
        def __getitem__(self, idx: int | slice) -> _M | Self: ...
