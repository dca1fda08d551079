"""What the tiles of a picture measure, put together: as much as a pass over the whole would have measured."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Tally:
    """What the tiles of a picture measure, put together to what the whole picture would have measured.

    Means are put together without a loss, and so are variances, by their raw moments; other statistics count as their
    mean over the tiles.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.sums: dict[str, Tensor] = {}
        self.norms: set[str] = set()
        self.total = 0.0
        self.core: tuple[slice, slice] | None = None
        self.size = (1, 1)

    def take(self, core: tuple[slice, slice], *, size: tuple[int, int]) -> "Tally":
        """Count a further tile.

        Args:
            core: Which of its rows and columns count: those that no other tile counts, and that know what lies around.
            size: Height and width of the tile, in the same unit.
        """
        self.core, self.size = core, size
        self.total += (core[0].stop - core[0].start) * (core[1].stop - core[1].start)
        return self

    def counted(self, maps: Tensor) -> Tensor:
        """The part that counts of a map of the tile, (B, C, h, w) of any resolution; tokens count all."""
        if maps.ndim != 4 or self.core is None:
            return maps
        for axis, (part, size) in enumerate(zip(self.core, self.size, strict=True), start=2):
            first, last = (round(end * maps.shape[axis] / size) for end in (part.start, part.stop))
            first = min(first, maps.shape[axis] - 1)
            maps = maps.narrow(axis, first, max(1, last - first))
        return maps

    def add(self, key: str, value: Tensor, *, is_moments: bool) -> None:
        """Count what a module measured in the present tile.

        Args:
            key: Of the module and call.
            value: (1, ...); of a normalisation (2, 1, G), variances and means.
            is_moments: Whether it is of a normalisation.
        """
        assert self.core is not None
        value = value.double()
        if is_moments:
            self.norms.add(key)
            value = torch.stack([value[0] + value[1].square(), value[1]])
        rows, columns = self.core
        share = (rows.stop - rows.start) * (columns.stop - columns.start)
        self.sums[key] = self.sums.get(key, 0.0) + share * value

    def differences(self, statistics: Mapping[str, Tensor], *, earlier: "Differences | None" = None) -> "Differences":
        """What the whole has more than the parts that were measured, as `measured_statistics` adds it.

        Tiles and parts were computed with the same statistics, so that they differ in nothing but what they show.
        Added to what the parts measure once the statistics of earlier layers are better, it is right to first order:
        a change of earlier layers changes the parts as it changes the whole.

        Args:
            statistics: Of the parts, with which the tiles were computed.
            earlier: What had been added to these already; None for nothing. It is contained in the result.
        """
        found, largest = {}, 0.0
        for key, total in self.sums.items():
            mean, parts = total / self.total, statistics[key].double()
            before = None if earlier is None else earlier.values[key].double()
            if key in self.norms:
                variance = (mean[0] - mean[1].square()).clamp_min(0)
                floor = torch.finfo(torch.float32).tiny
                ratio = (variance / parts[0].clamp_min(floor)).clamp(0.1, 10)
                shift = mean[1] - parts[1]
                deviation = variance.clamp_min(floor).sqrt()
                largest = max(largest, float(ratio.log().abs().max()), float((shift.abs() / deviation).max()))
                found[key] = torch.stack(
                    [ratio, shift] if before is None else [before[0] * ratio, before[1] + shift]
                ).float()
            else:
                found[key] = (mean - parts if before is None else before + mean - parts).float()
        return Differences(values=found, largest=largest)


class Differences(NamedTuple):
    """What a whole picture has more than the parts of it that were measured."""

    values: dict[str, Tensor]
    """By key, (1, ...); of a normalisation (2, 1, G): ratios of variances, which keep them positive, and differences of
    means."""
    largest: float
    """Of what was new, beyond what had been added earlier: the largest logarithm of a ratio of variances, or shift of a
    mean in deviations."""
