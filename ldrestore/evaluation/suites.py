"""Suites: which sets are restored, how their pictures are made, and by what protocol results are scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ldrestore.config import load_config
from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.metrics.protocols import find_protocol

_PACKAGE = "ldrestore.configs.bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteDataset:
    """One set in a suite, as it is or degraded."""

    name: str
    """Of the column in tables, unique in the suite."""
    set: str
    """Name of the set, see `ldrestore bench --list`."""
    task: str | None = None
    """What is wrong with its pictures; None for what the recipe or the set says."""
    recipe: str | None = None
    """What is done to clean pictures, see `ldrestore degrade`; "clean" leaves them. None for the set's own pairs."""
    severity: float = 0.5
    """In [0, 1], of every step of the recipe that does not set its own."""
    noise_sigma_255: float | None = None
    """Gaussian noise in 8-bit units in place of a recipe, drawn as the protocol's papers do: numpy seed 0 once a
    suite, over all its noisy sets in their order, pictures sorted by name, clipped and truncated to 8 bits."""
    crop: int | None = None
    """Side in pixels of the square at the centre that is taken; None for whole pictures."""
    every: int = 1
    """Takes the first picture and each `every`-th after it, sorted by name; 1 for all."""
    limit: int | None = None
    """The most pictures taken of those, from the first name on; None for all."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the models' calls on this set, such as an instruction; a model that does not take one fails here."""

    def __post_init__(self) -> None:
        """Check what excludes what.

        Raises:
            ConfigError: a recipe and noise, or a number out of range.
        """
        if self.recipe is not None and self.noise_sigma_255 is not None:
            raise ConfigError(
                f"{self.name}: recipe and noise_sigma_255 exclude each other; write the noise as a recipe"
            )
        if not 0 <= self.severity <= 1:
            raise ConfigError(f"{self.name}: severity must lie in [0, 1], got {self.severity}")
        if self.noise_sigma_255 is not None and not 0 <= self.noise_sigma_255 <= 255:
            raise ConfigError(f"{self.name}: noise_sigma_255 must lie in [0, 255], got {self.noise_sigma_255}")
        if self.crop is not None and self.crop < 8:
            raise ConfigError(f"{self.name}: crop must be at least 8 pixels, got {self.crop}")
        for name, value in (("every", self.every), ("limit", self.limit)):
            if value is not None and value < 1:
                raise ConfigError(f"{self.name}: {name} must be at least 1, got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteConfig:
    """What `ldrestore bench SUITE` measures."""

    name: str
    """Of the suite."""
    summary: str
    """One line."""
    protocol: str = "uint8"
    """How results are scored, see `ldrestore score --list`."""
    metrics: tuple[str, ...] | None = None
    """None for those of the protocol."""
    datasets: tuple[SuiteDataset, ...]
    """What is restored; may be empty where pairs are named on the command line."""
    averages: Mapping[str, Any] = field(default_factory=dict)
    """Name of a further column to the datasets whose means it is the unweighted mean of."""
    published: tuple[str, ...] = ()
    """Printed tables shown beside the results, see `ldrestore.evaluation.published_tables`."""
    has_optional_sets: bool = False
    """Whether sets that are not below the data root are left out with a word, in place of an error."""

    def __post_init__(self) -> None:
        """Check names.

        Raises:
            UnknownNameError: no such protocol, or an average of a dataset that the suite has not.
            ConfigError: two datasets of one name, or an average with the name of a dataset or without a list of them.
        """
        find_protocol(self.protocol)
        names = [dataset.name for dataset in self.datasets]
        if len(set(names)) != len(names):
            raise ConfigError(f"suite {self.name}: two datasets have one name among {', '.join(names)}")
        for average, parts in self.averages.items():
            if average in names or not isinstance(parts, list | tuple):
                raise ConfigError(
                    f"suite {self.name}: the average {average} needs a list of datasets, and a name that none "
                    "of them has"
                )
            for part in parts:
                if part not in names:
                    raise UnknownNameError("dataset", str(part), names)

    @property
    def scored_metrics(self) -> tuple[str, ...]:
        """Names of what is computed."""
        return find_protocol(self.protocol).metrics if self.metrics is None else self.metrics


def list_suites() -> tuple[str, ...]:
    """Names of the suites that come with the library."""
    names = (entry.name for entry in resources.files(_PACKAGE).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_suite(name_or_path: str | Path) -> SuiteConfig:
    """A suite by its name, or from a YAML file of one's own.

    Raises:
        UnknownNameError: no such suite; offers the closest names.
        ConfigError: the file is wrong.
    """
    if Path(name_or_path).suffix in (".yaml", ".yml"):
        return load_config(SuiteConfig, name_or_path)
    if str(name_or_path) not in list_suites():
        raise UnknownNameError("suite", str(name_or_path), list_suites())
    with resources.as_file(resources.files(_PACKAGE) / f"{name_or_path}.yaml") as path:
        return load_config(SuiteConfig, path)
