"""What the model of the stable track is held to: for each row a bound that must hold, and an aim.

Means are judged, not their intervals.
"""

from dataclasses import dataclass
from typing import Any

from measurement_file import interval

Rows = dict[str, dict[str, Any]]

Mean = tuple[float, float, float]
"""A mean with the ends of its interval."""
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the table of bounds."""

    what: str
    """What is judged."""
    measured: str
    """The figures, or "not measured"."""
    bound: str
    """What must hold."""
    is_bound_met: bool | None
    """None if it was not measured."""
    aim: str
    """What is hoped for."""
    is_aim_met: bool | None
    """None if it was not measured."""


def values_by_name(row: dict[str, Any], metric: str) -> dict[str, float]:
    """The values of a metric by the names of their pictures."""
    return dict(zip(row["names"], row["per_picture"][metric], strict=True))


def mean_over_rows(values: list[dict[str, float]]) -> Mean | None:
    """The mean over rows and pictures, its interval over pictures; of those that are in every row. None without any."""
    names = [name for name in values[0] if all(name in others for others in values)] if values else []
    if not names:
        return None
    of_pictures = [sum(row[name] for row in values) / len(values) for name in names]
    return (sum(of_pictures) / len(of_pictures), *interval(of_pictures))


def bounded(what: str, value: Mean | None, *, bound: float, aim: float, unit: str) -> Verdict:
    """A value that must reach two lower bounds."""
    return Verdict(
        what=what,
        measured=NOT_MEASURED if value is None else f"{written(value)} {unit}",
        bound=f"≥ {bound:g} {unit}",
        is_bound_met=None if value is None else value[0] >= bound,
        aim=f"≥ {aim:g} {unit}",
        is_aim_met=None if value is None else value[0] >= aim,
    )


def written(mean: Mean, *, sign: str = "") -> str:
    """A mean and its interval."""
    return f"{mean[0]:{sign}.2f} [{mean[1]:{sign}.2f}, {mean[2]:{sign}.2f}]"
