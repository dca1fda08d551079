"""Tables printed in papers, as data: shown beside our figures and never mixed with them.

Every number was entered from the text of the paper, twice, and both entries compared; nothing is from memory. Printed
averages are recomputed by `inconsistencies`: what does not agree is listed, not smoothed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from ldrestore.config import build, load_config
from ldrestore.errors import ConfigError, UnknownNameError

FOLDER = Path(__file__).resolve().parent / "published"
"""One YAML a paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """One table of one paper."""

    label: str
    """As the paper numbers it, such as "Table 7"."""
    caption: str
    """What it shows, in short."""
    protocol: str
    """What the paper says of how figures were computed; and what it does not."""
    columns: tuple[str, ...]
    """Dataset and metric of each column."""
    rows: Mapping[str, Any]
    """Method to its figures as printed, null where the paper has none; of text cells the text."""
    averages: Mapping[str, Any] = field(default_factory=dict)
    """Column that the paper calls an average, to the columns it is the mean of."""
    paper: str = ""
    """Title; filled in from the file."""
    source: str = ""
    """Where it was read; filled in from the file."""

    def __post_init__(self) -> None:
        """Check that rows fit the columns.

        Raises:
            ConfigError: one does not.
        """
        for method, values in self.rows.items():
            if len(values) != len(self.columns):
                raise ConfigError(f"{self.label}, {method}: {len(values)} figures for {len(self.columns)} columns")
        for column, parts in self.averages.items():
            for name in (column, *parts):
                if name not in self.columns:
                    raise ConfigError(f"{self.label}: the average {column} names {name}, which is no column")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPaper:
    """All tables of one paper or page."""

    title: str
    """Of the paper."""
    source: str
    """Where it was read."""
    is_secondary: bool = False
    """Whether it is someone else's account of a paper: `source: secondary`."""
    tables: Mapping[str, Any]
    """Short name to table, see `PublishedTable`."""


def list_published() -> list[str]:
    """Names of all tables, as PAPER/TABLE."""
    return [f"{path.stem}/{name}" for path in sorted(FOLDER.glob("*.yaml")) for name in _paper(path.stem).tables]


def find_published(name: str) -> PublishedTable:
    """One table.

    Raises:
        UnknownNameError: no such table.
    """
    paper, _, table = name.partition("/")
    if name not in list_published():
        raise UnknownNameError("published table", name, list_published())
    return _tables(paper)[table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inconsistency:
    """A printed average that its own row does not give."""

    table: str
    method: str
    column: str
    printed: float
    recomputed: float
    """Mean of the printed parts."""
    allowed: float
    """How far rounding of parts and average may take them apart."""

    def __str__(self) -> str:
        """In words."""
        return (
            f"{self.table}, {self.method}, {self.column}: printed {self.printed:g}, the row's mean is "
            f"{self.recomputed:.4g} (rounding explains {self.allowed:.3g})"
        )


def inconsistencies(name: str) -> list[Inconsistency]:
    """The printed averages of a table that do not follow from its rows, beyond what rounding explains.

    The average of parts rounded to d digits lies within half a unit of the last digit of the true one, and is itself
    rounded: one unit in all.
    """
    table = find_published(name)
    found = []
    for column, parts in table.averages.items():
        for method, values in table.rows.items():
            row = dict(zip(table.columns, values, strict=True))
            figures = [row[part] for part in parts]
            if row[column] is None or any(figure is None for figure in figures):
                continue
            mean = sum(figures) / len(figures)
            half_units = [_half_unit(figure) for figure in figures]
            allowed = sum(half_units) / len(half_units) + _half_unit(row[column])
            if abs(mean - row[column]) > allowed + 1e-9:
                found.append(
                    Inconsistency(
                        table=name,
                        method=method,
                        column=column,
                        printed=float(row[column]),
                        recomputed=float(mean),
                        allowed=float(allowed),
                    )
                )
    return found


def markdown_of(table: PublishedTable) -> str:
    """A table as Markdown, figures as printed."""
    lines = [f"| | {' | '.join(table.columns)} |", "|" + "---|" * (len(table.columns) + 1)]
    for method, values in table.rows.items():
        lines.append(f"| {method} | {' | '.join('–' if value is None else str(value) for value in values)} |")
    return "\n".join(lines)


def _half_unit(figure: float) -> float:
    """Half a unit of the last printed digit; trailing zeros are lost in YAML, so two digits at least."""
    exponent = Decimal(str(figure)).as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    return 0.5 * 10.0 ** -max(digits, 2 if abs(figure) >= 1 else 3)


@lru_cache(maxsize=16)
def _paper(name: str) -> PublishedPaper:
    """One file."""
    return load_config(PublishedPaper, FOLDER / f"{name}.yaml")


@lru_cache(maxsize=16)
def _tables(paper: str) -> dict[str, PublishedTable]:
    """The tables of one file, each with its paper and source."""
    record = _paper(paper)
    source = f"{record.source}{' (source: secondary)' if record.is_secondary else ''}"
    return {
        name: build(PublishedTable, {**table, "paper": record.title, "source": source}, where=f"{paper}/{name}")
        for name, table in record.tables.items()
    }
