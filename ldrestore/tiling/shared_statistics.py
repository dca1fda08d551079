"""Statistics of whole maps, measured once a picture and shared by all of its tiles.

Normalisations, channel attention, routers and prompts look at a whole map. Where each tile is looked at by itself, a
tile of sky and a tile of grass come out as if each were a picture of its own: far from what the whole would have given,
and different on both sides of a border. So these statistics are measured in one pass over parts of the picture, and
every tile is computed with them. They are known by the module that measures them, so that a pass that takes another
way through the network is found out, and each must be used.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ldrestore.errors import StatisticsError

PIECE = 4
"""Side of a piece of the collage in cells. Finer pieces represent the picture better, coarser ones have fewer edges."""

Statistics = dict[str, Tensor]
"""Name of the module, "#2" behind it for a second call in the same pass, to what it measured: (1, ...)."""


class MapStatistic(nn.Module):
    """What a network measures over all positions of its maps, such as the mean of each channel.

    Outside of `measured_statistics` and `shared_statistics` it is the function that it is made of. It has no weights,
    so that checkpoints do not know of it. Each thread measures for itself.
    """

    def __init__(self, measure: Callable[..., Tensor]) -> None:
        """Wrap a function.

        Args:
            measure: One or more maps (B, C, H, W) to (B, ...), which has no positions any more.
        """
        super().__init__()
        self.measure = measure
        self.passes: dict[int, _Pass] = {}  # of the threads that measure or share at this moment

    def forward(self, *maps: Tensor) -> Tensor:
        """(B, C, H, W) each to (B, ...)."""
        active = self.passes.get(threading.get_ident()) if self.passes else None
        return self.measure(*maps) if active is None else active.value_for(self, maps)


def channel_means(features: Tensor) -> Tensor:
    """Mean of each channel over the positions: (B, C, H, W) to (B, C, 1, 1)."""
    return F.adaptive_avg_pool2d(features, 1)


@contextmanager
def measured_statistics(networks: Mapping[str, nn.Module], *, layout: tuple[int, int] = (1, 1)) -> Iterator[Statistics]:
    """Within it, every `MapStatistic` and every group normalisation of the networks keeps what it measures.

    The maps of a batch are parts of one picture: they are measured together, as the one map that they make side by
    side, and go on with what they have in common. A single part gives what it gives without, to the bit.

    Args:
        networks: By a name that theirs begin with.
        layout: Rows and columns of the parts; as many as the batch has.
    """
    statistics: Statistics = {}
    with _Pass(networks, statistics, layout=layout, is_measuring=True).entered():
        yield statistics


@contextmanager
def shared_statistics(networks: Mapping[str, nn.Module], statistics: Statistics) -> Iterator[None]:
    """Within it, the same modules use these statistics in place of their own, in one pass. Not for training.

    Args:
        networks: As they were measured.
        statistics: What `measured_statistics` kept.

    Raises:
        StatisticsError: a module finds none, or some were not used at the end.
    """
    sharing = _Pass(networks, statistics, is_measuring=False)
    with sharing.entered():
        yield
    sharing.check_all_used()


def spread_cells(size: int, length: int) -> Tensor:
    """Which cells of one axis a collage shows: pieces at equal distances, from the first cell to the last.

    Args:
        size: Cells of the axis.
        length: Cells of the collage, rounded down to whole pieces where the axis is longer.

    Returns:
        (length,), int64.
    """
    if size <= length:
        return torch.arange(size)
    starts = torch.linspace(0, size - PIECE, length // PIECE).round().long()
    return (starts[:, None] + torch.arange(PIECE)).flatten()


def group_moments(x: Tensor, num_groups: int) -> Tensor:
    """Biased variance and mean of groups of channels, in float32: (B, C, ...) to (2, B, G)."""
    groups = x.unflatten(1, (num_groups, -1)).flatten(2).float()  # (B, G, values)
    return torch.stack(torch.var_mean(groups, dim=2, correction=0))


def normalise_groups(
    x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float, *, moments: Tensor
) -> Tensor:
    """Group normalisation, Wu and He 2018 (https://arxiv.org/abs/1803.08494), with given moments, in float32.

    Args:
        x: (B, C, ...).
        num_groups: G.
        weight: (C,), or None for ones.
        bias: (C,), or None for zeros.
        eps: Added to the variance.
        moments: (2, 1 or B, G), variance and mean.

    Returns:
        Of x's shape and type.
    """
    variance, mean = moments.to(x.device).repeat_interleave(x.shape[1] // num_groups, dim=2)  # (B, C)
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight.float()
    shift = -mean * scale if bias is None else bias.float() - mean * scale
    axes = (..., *[None] * (x.ndim - 2))
    return torch.addcmul(shift[axes], x.float(), scale[axes]).to(x.dtype)


def side_by_side(parts: Tensor, layout: tuple[int, int]) -> Tensor:
    """Parts of a picture as the one map that they make: (R * S, C, h, w) to (1, C, R * h, S * w), row by row.

    Args:
        parts: As many as `layout` has places; other axes behind the channels are joined to the last one.
        layout: R and S.
    """
    if len(parts) == 1:
        return parts
    if parts.ndim != 4:
        return parts.transpose(0, 1).flatten(1)[None]  # tokens, whose order says nothing: (1, C, R * S * L)
    rows, columns = layout
    grid = parts.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)  # (C, R, h, S, w)
    return grid.flatten(3, 4).flatten(1, 2)[None]


def _inner(parts: Tensor) -> Tensor:
    """Parts of a picture without a sixteenth at each border, which knows less of what lies around it than the whole."""
    if len(parts) == 1 or parts.ndim != 4:
        return parts
    rows, columns = (side // 16 for side in parts.shape[-2:])
    return parts[..., rows : parts.shape[-2] - rows, columns : parts.shape[-1] - columns]


class _Pass(TorchFunctionMode):
    """One thread's way through some networks, in which modules are known by their names."""

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        statistics: Statistics,
        *,
        layout: tuple[int, int] = (1, 1),
        is_measuring: bool,
    ) -> None:
        """Begin at the first call.

        Args:
            networks: By a name that theirs begin with.
            statistics: Filled where it measures, used where not.
            layout: Of the parts that are measured together.
            is_measuring: Whether modules measure.
        """
        super().__init__()
        self.statistics, self.layout, self.is_measuring = statistics, layout, is_measuring
        self.modules = {
            f"{root}.{name}".strip("."): module
            for root, network in networks.items()
            for name, module in network.named_modules()
            if isinstance(module, (MapStatistic, nn.GroupNorm))
        }
        self.names = {id(module): name for name, module in self.modules.items()}
        self.used: Counter[str] = Counter()
        self.norm: str | None = None  # the group normalisation that is about to be computed

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The networks know of this pass within, in this thread; nothing stays behind."""
        thread = threading.get_ident()

        def note(module: nn.Module, _inputs: Any) -> None:
            if threading.get_ident() == thread:
                self.norm = self.names[id(module)]

        with ExitStack() as stack:
            for module in self.modules.values():
                if isinstance(module, MapStatistic):
                    module.passes[thread] = self
                    stack.callback(module.passes.pop, thread)
                else:
                    stack.callback(module.register_forward_pre_hook(note).remove)
            if any(isinstance(module, nn.GroupNorm) for module in self.modules.values()):
                stack.enter_context(self)  # it sees every call, which takes its time
            yield

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, or what stands in for a normalisation of the networks."""
        if function is not F.group_norm or self.norm is None:
            return function(*args, **(kwargs or {}))
        name, self.norm = self.norm, None
        x, num_groups = args[:2]
        moments = self.statistic(name, lambda whole: group_moments(whole, num_groups), (x,))
        if self.is_measuring and len(x) == 1:
            return function(*args, **(kwargs or {}))
        return normalise_groups(*args, **(kwargs or {}), moments=moments)

    def value_for(self, module: "MapStatistic", maps: Sequence[Tensor]) -> Tensor:
        """What takes the place of `module.measure(*maps)`: (B, ...), in their type."""
        value = self.statistic(self.names[id(module)], module.measure, maps)
        if not self.is_measuring:
            value = value.to(maps[0])  # the picture may have been measured in another precision than the tile has
        return value if len(maps[0]) == 1 else value.expand(len(maps[0]), *value.shape[1:])

    def statistic(self, name: str, measure: Callable[..., Tensor], maps: Sequence[Tensor]) -> Tensor:
        """What a module measures of the whole picture, at this call of it.

        Raises:
            StatisticsError: nothing was measured there.
        """
        self.used[name] += 1
        key = f"{name}#{self.used[name]}" if self.used[name] > 1 else name
        if self.is_measuring:
            self.statistics[key] = measure(*(side_by_side(_inner(parts), self.layout) for parts in maps))
        elif key not in self.statistics:
            raise StatisticsError(
                f"a tile asked for the whole picture's {key}, which was not measured: its pass through the network is "
                "another one than the picture's; restore with tile='off'"
            )
        return self.statistics[key]

    def check_all_used(self) -> None:
        """Refuse a pass that left out what the picture's went through.

        Raises:
            StatisticsError: it did.
        """
        names = Counter(key.partition("#")[0] for key in self.statistics)
        unused = [name for name, count in names.items() if self.used[name] < count]
        if unused:
            raise StatisticsError(
                f"a tile made no use of the whole picture's {', '.join(unused[:4])}: its pass through the network is "
                "another one than the picture's; restore with tile='off'"
            )
