"""Statistics of whole maps, measured once a picture and shared by all of its tiles.

Normalisations, channel attention, routers and prompts look at a whole map, and so does self-attention over its
positions. Where each tile is looked at by itself, a tile of sky and a tile of grass come out as if each were a picture
of its own: far from what the whole would have given, and different on both sides of a border. So these statistics are
measured in one pass over parts of the picture, and every tile is computed with them. They are known by the module that
measures them, so that a pass that takes another way through the network is found out, and each must be used.

Self-attention has no number that stands for the whole: what is shared are the keys and values of the parts' positions,
and each position of a tile asks those. They say more of the picture than the tile's own do, since they come from all
over it, and the same to all tiles.
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
from ldrestore.tiling.tally import Tally

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
def measured_statistics(
    networks: Mapping[str, nn.Module], *, layout: tuple[int, int] = (1, 1), differences: Statistics | None = None
) -> Iterator[Statistics]:
    """Within it, every `MapStatistic`, group normalisation and self-attention of the networks keeps what it measures.

    A self-attention is a module whose `is_cross_attention` is False, as diffusers' `Attention` has it; it is seen where
    it goes through PyTorch's own attention, and stays with each part or tile in other backends.

    The maps of a batch are parts of one picture: they are measured together, as the one map that they make side by
    side, and go on with what they have in common. A single part gives what it gives without, to the bit.

    Args:
        networks: By a name that theirs begin with.
        layout: Rows and columns of the parts; as many as the batch has.
        differences: What the whole has more than the parts, see `Tally.differences`; added to what is measured.
    """
    statistics: Statistics = {}
    with _Pass(networks, statistics, layout=layout, is_measuring=True, differences=differences).entered():
        yield statistics


@contextmanager
def shared_statistics(
    networks: Mapping[str, nn.Module], statistics: Statistics, *, tally: Tally | None = None
) -> Iterator[None]:
    """Within it, the same modules use these statistics in place of their own, in one pass. Not for training.

    Args:
        networks: As they were measured.
        statistics: What `measured_statistics` kept.
        tally: Keeps what the modules would have measured themselves.

    Raises:
        StatisticsError: a module finds none, or some were not used at the end.
    """
    sharing = _Pass(networks, statistics, is_measuring=False, tally=tally)
    with sharing.entered():
        yield
    sharing.check_all_used()


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


def joined_tokens(tokens: Tensor) -> Tensor:
    """Keys or values of parts of a picture as those of the one map that they make: (N, H, L, D) to (1, H, N * L, D)."""
    return tokens if len(tokens) == 1 else tokens.transpose(0, 1).flatten(1, 2)[None]


def _attends_to_itself(module: nn.Module) -> bool:
    """Whether a module lets the positions of a map attend to each other."""
    return getattr(module, "is_cross_attention", None) is False


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
        differences: Statistics | None = None,
        tally: Tally | None = None,
    ) -> None:
        """Begin at the first call.

        Args:
            networks: By a name that theirs begin with.
            statistics: Filled where it measures, used where not.
            layout: Of the parts that are measured together.
            is_measuring: Whether modules measure.
            differences: Added to what is measured.
            tally: Of what the modules of a tile would have measured.
        """
        super().__init__()
        self.differences, self.tally = differences, tally
        self.statistics, self.layout, self.is_measuring = statistics, layout, is_measuring
        self.modules = {
            f"{root}.{name}".strip("."): module
            for root, network in networks.items()
            for name, module in network.named_modules()
            if isinstance(module, (MapStatistic, nn.GroupNorm)) or _attends_to_itself(module)
        }
        self.names = {id(module): name for name, module in self.modules.items()}
        self.used: Counter[str] = Counter()
        self.norm: str | None = None  # the group normalisation that is about to be computed
        self.attention: str | None = None  # the self-attention that is being computed

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The networks know of this pass within, in this thread; nothing stays behind."""
        thread = threading.get_ident()

        def begin(module: nn.Module, _inputs: Any) -> None:
            if threading.get_ident() == thread:
                name = self.names[id(module)]
                self.norm, self.attention = (name, self.attention) if isinstance(module, nn.GroupNorm) else (None, name)

        def end(_module: nn.Module, _inputs: Any, _output: Any) -> None:
            if threading.get_ident() == thread:
                self.attention = None

        with ExitStack() as stack:
            for module in self.modules.values():
                if isinstance(module, MapStatistic):
                    module.passes[thread] = self
                    stack.callback(module.passes.pop, thread)
                else:
                    stack.callback(module.register_forward_pre_hook(begin).remove)
                    if not isinstance(module, nn.GroupNorm):
                        stack.callback(module.register_forward_hook(end).remove)
            if not all(isinstance(module, MapStatistic) for module in self.modules.values()):
                stack.enter_context(self)  # it sees every call, which takes its time
            yield

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, or what stands in for a normalisation or attention of the networks."""
        if function is F.group_norm and self.norm is not None:
            return self.normalised(*args, **(kwargs or {}))
        if function is F.scaled_dot_product_attention and self.attention is not None:
            return self.attended(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def normalised(
        self,
        x: Tensor,
        num_groups: int,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        eps: float = 1e-5,
    ) -> Tensor:
        """`torch.nn.functional.group_norm` with the moments of the whole picture."""
        assert self.norm is not None
        name, self.norm = self.norm, None
        moments = self.statistic(name, lambda maps: group_moments(maps, num_groups), (x,))
        if self.is_measuring and len(x) == 1 and not self.differences:
            return F.group_norm(x, num_groups, weight, bias, eps)
        return normalise_groups(x, num_groups, weight, bias, eps, moments=moments)

    def attended(self, query: Tensor, key: Tensor, value: Tensor, *options: Any, **named: Any) -> Tensor:
        """`torch.nn.functional.scaled_dot_product_attention` to the positions of the whole picture.

        Its other arguments say how, and are handed on as they come.
        """
        assert self.attention is not None
        name, self.attention = self.attention, None
        tokens = self.statistic(name, lambda *both: torch.stack([*map(joined_tokens, both)]), (key, value))
        if not (self.is_measuring and len(query) == 1):
            key, value = tokens.to(key).expand(-1, len(query), -1, -1, -1).unbind()
        return F.scaled_dot_product_attention(query, key, value, *options, **named)

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
        is_attention = _attends_to_itself(self.modules[name])
        if self.is_measuring:
            parts = maps if is_attention else [side_by_side(_inner(part), self.layout) for part in maps]
            self.statistics[key] = self.corrected(key, measure(*parts))
        elif key not in self.statistics:
            raise StatisticsError(
                f"a tile asked for the whole picture's {key}, which was not measured: its pass through the network is "
                "another one than the picture's; restore with tile='off'"
            )
        elif self.tally is not None and not is_attention:
            value = measure(*map(self.tally.counted, maps))
            self.tally.add(key, value, is_moments=self.is_norm(key))
        return self.statistics[key]

    def corrected(self, key: str, value: Tensor) -> Tensor:
        """A measured value, with what the whole has more."""
        if not self.differences or key not in self.differences:
            return value
        difference = self.differences[key].to(value)
        if self.is_norm(key):
            return torch.stack([value[0] * difference[0], value[1] + difference[1]])
        return value + difference

    def is_norm(self, key: str) -> bool:
        """Whether a key is a normalisation's."""
        return isinstance(self.modules[key.partition("#")[0]], nn.GroupNorm)

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
