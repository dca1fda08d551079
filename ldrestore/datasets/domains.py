"""Several sources in one run: domains or tasks, each with its own pictures, synthetic or paired."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.seeds import Key
from ldrestore.datasets.synthetic import SyntheticDataConfig, SyntheticDataset
from ldrestore.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainConfig:
    """One domain or task and how often its pictures come."""

    data: SyntheticDataConfig | PairedDataConfig
    """Clean folders of the domain and the mixture that degrades them, or folders of pairs."""
    repeat: int = 1
    """How often each picture of the domain comes in an epoch, at least 1, each time drawn anew."""

    def __post_init__(self) -> None:
        """Check the count."""
        if self.repeat < 1:
            raise ConfigError(f"repeat must be at least 1, got {self.repeat}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiDomainDataConfig:
    """Domains side by side."""

    domains: tuple[DomainConfig, ...]
    """At least one."""

    def __post_init__(self) -> None:
        """Check that there is something to draw from."""
        if not self.domains:
            raise ConfigError("domains is empty; give at least one with its data")


class MultiDomainDataset(Dataset[dict[str, Any]]):
    """The pairs of all domains, one domain after the other; each item is a pure function of (seed, epoch, index).

    Items are those of `SyntheticDataset` and `PairedDataset`.
    """

    def __init__(self, config: MultiDomainDataConfig, *, patch_size: int, seed: int) -> None:
        """List the pictures of all domains.

        Args:
            config: The domains.
            patch_size: Side P of the crops in pixels.
            seed: Start of all random numbers; domain number n starts from seed + n.

        Raises:
            ConfigError: a folder is missing or empty.
            InputError: a recipe cannot be parsed.
        """
        self._domains = [
            (_dataset_of(domain.data, patch_size=patch_size, seed=seed + number), domain.repeat)
            for number, domain in enumerate(config.domains)
        ]

    def __len__(self) -> int:
        """Number of clean pictures, each as often as its domain repeats it."""
        return sum(len(dataset) * repeat for dataset, repeat in self._domains)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One pair; see the class.

        Raises:
            IndexError: the index is negative, or not below the length.
        """
        epoch, index = key if isinstance(key, tuple) else (0, key)
        dataset, repeat, index = self._domain_of(index)
        turn, place = divmod(index, len(dataset))
        return dataset[(epoch * repeat + turn, place)]

    def source_path(self, index: int) -> Path:
        """The file that an item is cut from.

        Raises:
            IndexError: the index is negative, or not below the length.
        """
        dataset, _, index = self._domain_of(index)
        return dataset.source_path(index % len(dataset))

    def _domain_of(self, index: int) -> tuple[SyntheticDataset | PairedDataset, int, int]:
        """The domain that an index falls into, how often it repeats its pictures, and the index within it."""
        rest = index
        for dataset, repeat in self._domains:
            if 0 <= rest < len(dataset) * repeat:
                return dataset, repeat, rest
            rest -= len(dataset) * repeat
        raise IndexError(f"{index} lies beyond the {len(self)} pictures of an epoch")


def _dataset_of(
    data: SyntheticDataConfig | PairedDataConfig, *, patch_size: int, seed: int
) -> SyntheticDataset | PairedDataset:
    """The data set of one domain."""
    if isinstance(data, PairedDataConfig):
        return PairedDataset(data, patch_size=patch_size, seed=seed)
    return SyntheticDataset(data, patch_size=patch_size, seed=seed)
