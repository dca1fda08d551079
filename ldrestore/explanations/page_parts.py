"""Parts of pages in Markdown, numbers as JSON has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_DIGITS = 6


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


def image_of(name: str, shows: str) -> str:
    """A figure on the page, and in words what it shows."""
    return f"![{shows}]({name})"


def code(text: str) -> str:
    """Text set as it is, whatever signs of Markdown it holds; line breaks become spaces."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def entries(rows: Mapping[str, Iterable[float]], key: str = "weights") -> list[dict[str, Any]]:
    """Name to row as a list, so that sorted keys do not lose the order of the forward pass."""
    return [{"name": name, key: rounded_all(row)} for name, row in rows.items()]


def rounded_all(values: Iterable[float]) -> list[float | None]:
    """A row of numbers as JSON has them."""
    return [rounded(value) for value in values]


def rounded(value: float | None) -> float | None:
    """A number as JSON has it."""
    return None if value is None else round(float(value), _DIGITS)
