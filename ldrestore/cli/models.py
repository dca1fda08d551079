"""`ldrestore models`: what there is to restore with."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from ldrestore.cli.console import print_json
from ldrestore.cli.shared_options import ListJsonOption

MODELS_EXAMPLES = """\b
Examples:
  ldrestore models
  ldrestore models --architectures
  ldrestore models --json
"""
"""Shown below the help; the first character keeps the lines as they are."""

LINE_WIDTH = 80
"""No line is longer."""


def models_command(
    architectures: Annotated[
        bool,
        typer.Option("--architectures", help="List what can be trained, and made of published checkpoints, instead."),
    ] = False,
    as_json: ListJsonOption = False,
) -> None:
    """List the models that restore now, one a line.

    They are ready to use with `ldrestore restore --model NAME`; those of the fast track restore in one pass, the others
    sample. With --architectures: what can be trained, and made of published checkpoints with `ldrestore convert`;
    operations are multiplications with addition for 256 x 256 pixels.
    """
    from ldrestore.assets.catalog import MODELS
    from ldrestore.regressors.catalog import REGRESSORS

    if as_json:
        print_json({"models": [asdict(record) for record in MODELS], "architectures": list(map(_facts, REGRESSORS))})
        raise typer.Exit()
    if architectures:
        rows = [
            (record.name, f"{record.parameters / 1e6:.1f} M", f"{record.macs / 1e9:.0f} G", ", ".join(record.tasks))
            for record in REGRESSORS
        ]
        _print_lines(("architecture", "weights", "ops", "published for"), rows)
        print("\nldrestore convert NAME CHECKPOINT OUT_DIR makes a model of a published file;")
        print("ldrestore fetch lists files whose place is known. --json tells licences.")
        return
    models = [(record.name, record.track, f"{record.parameters / 1e6:.1f} M", record.summary) for record in MODELS]
    _print_lines(("model", "track", "weights", "what it is"), models)
    print("\nldrestore restore IN OUT --model NAME restores; ldrestore info NAME tells all;")
    print("ldrestore models --architectures lists what can be trained or converted.")


def _facts(record: Any) -> dict[str, Any]:
    """What the document tells of an architecture."""
    names = ("name", "parameters", "macs", "tasks", "licence", "source")
    return {name: getattr(record, name) for name in names}


def _print_lines(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as they need, the last cut at the line's end."""
    widths = [max(len(row[index]) for row in (titles, *rows)) for index in range(len(titles) - 1)]
    for row in (titles, *rows):
        line = "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])
        print(line if len(line) <= LINE_WIDTH else f"{line[: LINE_WIDTH - 3].rstrip(' ,;')}...")
