"""Rows measured picture by picture, which know where they come from; and the command lines of reports about them."""

import math
import platform
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from measurement_file import MeasurementFile, Row, extended

from ldrestore.datasets.compared_pairs import Pair
from ldrestore.errors import LDRestoreError
from ldrestore.pipelines.sampled_records import MORE_PACKAGES
from ldrestore.records import RECORDED_PACKAGES
from ldrestore.weights.hashes import hash_of_file

WRONG_INPUT = (LDRestoreError, ValueError, OSError)
"""What a wrong call of these scripts ends in."""
DIGITS = 4
"""After the point, of all values that are kept."""
LEAST_CROP = 8
"""Side in pixels of the smallest square that is measured on."""
THE_CPU = "the CPU"
"""The device that is no GPU, in rows."""
FOLDER = "PICTURES"
"""What a folder of clean pictures is called in reports, which tell nothing of a disk."""


def header_of(
    paths: Iterable[Path], *, settings: dict[str, Any], model: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What all rows of a file share: protocol, settings and pictures, and the model where there is but one."""
    return {
        "protocol": "uint8",
        **({} if model is None else {"model": model}),
        "settings": settings,
        "pictures": {path.name: hash_of_file(path)[:16] for path in paths},
    }


def environment_of(device: str) -> dict[str, Any]:
    """What figures may depend on beside models and pictures; on the CPU the number of threads, too."""
    is_gpu = torch.device(device).type == "cuda"
    cpu = {"device": THE_CPU, "threads": torch.get_num_threads()}
    return {
        **({"device": torch.cuda.get_device_name(device)} if is_gpu else cpu),
        "machine": platform.machine(),
        "packages": {name: version(name) for name in (*RECORDED_PACKAGES, *MORE_PACKAGES)},
    }


def told(environment: Mapping[str, Any] | None) -> str:
    """An environment in words; None for one that a row does not tell."""
    if environment is None:
        return "nobody knows what"
    threads = f", threads: {environment['threads']}" if "threads" in environment else ""
    packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    return f"{environment['device']}, {environment['machine']}{threads}; {packages}"


def known_row(file: MeasurementFile, section: str, name: str, *, same: Mapping[str, Any]) -> Row | None:
    """A stored row that the next picture may be added to; None where there is none, or one of something else.

    Args:
        file: Has the rows.
        section: Of the row.
        name: Of the row.
        same: What it must share with what is measured now, "environment" among it.

    Raises:
        ValueError: it comes from another environment or does not tell which, and may not be dropped.
    """
    row = file.row(section, name)
    if row is None:
        return None
    others = [key for key, value in same.items() if row.get(key) != value]
    if "environment" in others and not file.may_drop:
        raise ValueError(
            f"{file.path} has the row {section}, {name} of another environment ({told(row.get('environment'))}) than "
            f"this one ({told(same['environment'])}); measure anew with --fresh, or write to another --out"
        )
    if others:
        print(f"{section}, {name}: measured anew, of another {', '.join(others)}", flush=True)
    return None if others else row


def measure_row(
    file: MeasurementFile,
    section: str,
    name: str,
    *,
    pairs: Iterable[Pair],
    measure: Callable[[Pair], dict[str, float]],
    same: Mapping[str, Any],
) -> Row | None:
    """Measure the pictures that a row lacks, and keep each at once.

    Args:
        file: Has the rows.
        section: Of the row.
        name: Of the row.
        pairs: Of the row's pictures; those that are in it already are left out.
        measure: A pair to values by metric.
        same: See `known_row`; kept with the row.

    Returns:
        The row; None where there are no pictures at all.

    Raises:
        ValueError: see `known_row`.
    """
    row = known_row(file, section, name, same=same)
    return extend_row(file, section, name, row=row, pairs=pairs, measure=measure, kept=same)


def extend_row(
    file: MeasurementFile,
    section: str,
    name: str,
    *,
    row: Row | None,
    pairs: Iterable[Pair],
    measure: Callable[[Pair], dict[str, float]],
    kept: Mapping[str, Any],
) -> Row | None:
    """Add to what `known_row` gave; see `measure_row`.

    Args:
        file: Has the rows.
        section: Of the row.
        name: Of the row.
        row: What there is of it; None to begin it.
        pairs: Of the row's pictures; those that are in it already are left out.
        measure: A pair to values by metric.
        kept: Plain values that the row holds beside those of its pictures.

    Returns:
        The row; None where there are no pictures at all.
    """
    for pair in pairs:
        if row is not None and pair.name in row["names"]:
            continue
        values = measure(pair)
        row = {**extended(row, pair.name, values, digits=DIGITS), **kept}
        file.add(section, name, row)
        print(section, name, pair.name, {key: round(value, 3) for key, value in values.items()}, flush=True)
    return row


def command_of(script: str, *words: str, options: Mapping[str, Any]) -> str:
    """The command line of this run, with the CPU threads that it computes with and without a path of this disk.

    Args:
        script: Name of the script.
        words: What stands first; folders by names such as "PICTURES".
        options: By name; None and False are left out, True is a flag, a list has several words.
    """
    said = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        values = value if isinstance(value, list | tuple) else [] if value is True else [value]
        shown = [f"{one:g}" if isinstance(one, float) else str(one) for one in values]
        said.append(" ".join([f"--{name.replace('_', '-')}", *(f'"{one}"' if " " in one else one for one in shown)]))
    return " ".join([f"OMP_NUM_THREADS={torch.get_num_threads()} python scripts/{script}.py", *words, *said])


def commands_of(rows: Iterable[Row]) -> str:
    """The commands that rows hold, each once, as a block of Markdown; of an extended row the last one."""
    return "\n".join(f"    {command}" for command in dict.fromkeys(row["command"] for row in rows if "command" in row))


def check_settings(arguments: Namespace) -> None:
    """Refuse, before anything is loaded, numbers that nothing can be measured with.

    Args:
        arguments: Of a command line; options that it does not have are not checked.

    Raises:
        ValueError: one is out of range.
    """
    given = vars(arguments)
    for name, least in (("crop", LEAST_CROP), ("steps", 1), ("num_pictures", 1), ("num_pairs", 1), ("seed", 0)):
        if given.get(name) is not None and given[name] < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {given[name]}")
    for name in ("strength", "severity"):
        value = given.get(name)
        if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
            raise ValueError(f"--{name} must lie in [0, 1], got {value:g}")
