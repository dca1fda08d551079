"""The file of measurements: rows by section and name, saved one by one, so that an interrupted run goes on.

A row holds "names" of pictures, "per_picture" values of each metric in their order, and "means": mean and 95 %
bootstrap interval of each metric. Speed and memory rows hold plain numbers instead.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]


class MeasurementFile:
    """Rows on disk that belong to one header: weights, protocol and pictures."""

    def __init__(self, path: Path, header: dict[str, Any], *, may_drop: bool = False) -> None:
        """Read the rows that are there.

        Args:
            path: JSON file; made with the first row.
            header: Plain values that all rows share; "environment" among them is told but not compared.
            may_drop: Whether rows of another header are left out, and go with the first save.

        Raises:
            ValueError: there are rows of another header, and they may not be dropped.
        """
        self.path, self.header, self.may_drop = path, header, may_drop
        self.rows: dict[str, dict[str, Row]] = {}
        if path.is_file():
            stored = json.loads(path.read_text(encoding="utf-8"))
            rows = stored.pop("rows", {})
            if _compared(stored) == _compared(header):
                self.rows = rows
            elif not may_drop:
                raise ValueError(
                    f"{path} holds rows of other weights, pictures or settings; drop them with --fresh, or move it"
                )

    def forget(self, section: str) -> None:
        """Drop the rows of a section."""
        self.rows.pop(section, None)

    def row(self, section: str, name: str) -> Row | None:
        """A stored row, or None."""
        return self.rows.get(section, {}).get(name)

    def add(self, section: str, name: str, row: Row) -> None:
        """Keep a row and save the file."""
        self.rows.setdefault(section, {})[name] = row
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(as_text(self.document()), encoding="utf-8")
        os.replace(partial, self.path)

    def document(self) -> dict[str, Any]:
        """Header and rows."""
        return {**self.header, "rows": self.rows}


def _compared(header: dict[str, Any]) -> dict[str, Any]:
    """What rows must share."""
    return {key: value for key, value in header.items() if key != "environment"}


def as_text(document: dict[str, Any]) -> str:
    """The document as JSON with one row a line."""
    sections = [
        f"    {json.dumps(section)}: {{\n"
        + ",\n".join(f"      {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
        + "\n    }"
        for section, rows in document["rows"].items()
    ]
    header = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items() if key != "rows"]
    return "{\n" + ",\n".join([*header, '  "rows": {\n' + ",\n".join(sections) + "\n  }"]) + "\n}\n"


def as_row(names: list[str], per_picture: dict[str, list[float]], *, digits: int = 3) -> Row:
    """A row of pictures, with the mean and interval of each metric.

    Args:
        names: Of the pictures.
        per_picture: Values of each metric, one a picture.
        digits: After the point.
    """
    return {
        "names": names,
        "per_picture": {metric: [round(value, digits) for value in values] for metric, values in per_picture.items()},
        "means": {
            metric: [round(value, digits) for value in (float(np.mean(values)), *interval(values))]
            for metric, values in per_picture.items()
        },
    }


def extended(row: Row | None, name: str, values: dict[str, float], *, digits: int = 3) -> Row:
    """A row with one more picture.

    Args:
        row: The row so far; None for a new one.
        name: Of the picture.
        values: Of each metric.
        digits: After the point.
    """
    known = row or {"names": [], "per_picture": {}}
    of_pictures = {metric: [*known["per_picture"].get(metric, []), value] for metric, value in values.items()}
    return as_row([*known["names"], name], of_pictures, digits=digits)


def interval(values: list[float], *, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    generator = np.random.default_rng(0)
    means = generator.choice(values, size=(draws, len(values))).mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def worst_gain(row: Row) -> tuple[str, float]:
    """The picture that gained least from its restoration, and its gain in dB."""
    values = row["per_picture"]
    gains = [after - before for before, after in zip(values["input_psnr"], values["restored_psnr"], strict=True)]
    worst = int(np.argmin(gains))
    return row["names"][worst], gains[worst]
