"""`ldrestore score`: finished pictures against their ground truth."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldrestore.cli.console import print_json, print_table, say
from ldrestore.errors import InputError

if TYPE_CHECKING:
    from ldrestore.metrics.scoring import Scoreboard

SCORE_EXAMPLES = """\b
Examples:
  ldrestore score restored.png original.png
  ldrestore score restored/ originals/ --metric psnr --metric ssim --metric lpips
  ldrestore score restored/ originals/ --protocol osediff --json > scores.json
  ldrestore score restored/ originals/ --metric piq:iw_ssim --metric iqa:musiq --weights iqa:musiq=musiq.pth
  ldrestore score --list
"""
"""Shown below the help; the first character keeps the lines as they are."""


def _print_list(is_asked: bool) -> None:
    """Print metrics and protocols, and stop."""
    if not is_asked:
        return
    from ldrestore.metrics.catalog import METRICS
    from ldrestore.metrics.protocols import PROTOCOLS

    ways = {True: "lower", False: "higher"}
    print_table(
        ("metric", "better is", "source"),
        [(record.name, ways[record.lower_is_better], record.source) for record in METRICS.values()],
        title="metrics: --metric NAME; besides piq:NAME and iqa:NAME",
    )
    print_table(
        ("protocol", "what", "metrics", "source"),
        [
            (protocol.name, protocol.summary, ", ".join(protocol.metrics), protocol.source)
            for protocol in PROTOCOLS.values()
        ],
        title="protocols: --protocol NAME",
    )
    raise typer.Exit()


def score_command(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A finished picture, or a folder of them.")],
    gt: Annotated[
        Path,
        typer.Argument(metavar="GT", help="Ground truth (inputs for consistency): a picture, or equal stems."),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", metavar="M", help="Metric, may be given again; those of the protocol if none."),
    ] = None,
    protocol: Annotated[
        str, typer.Option(metavar="P", help="How pictures are compared; `ldrestore score --list` names all.")
    ] = "uint8",
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", metavar="NAME=FILE", help="Weights of a metric, may be given again."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="D", help="Where networks compute: auto, cpu, cuda.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
    list_all: Annotated[
        bool, typer.Option("--list", callback=_print_list, is_eager=True, help="List metrics and protocols.")
    ] = False,
) -> None:
    """Score finished pictures against their ground truth, by a named protocol.

    Two files, or two folders whose pictures share their stems. What cannot be computed here is named with the way to
    get it, and the rest goes on. Exit code 1: a picture had no partner, was broken or of another size, or nothing at
    all could be computed.
    """
    from ldrestore.metrics.protocols import find_protocol
    from ldrestore.metrics.scoring import open_metrics, score_paths
    from ldrestore.restorers import device_of

    found = find_protocol(protocol)
    opened = open_metrics(metric or found.metrics, weights=named_files(weights or []), device=str(device_of(device)))
    board = score_paths(results, gt, protocol=found, opened=opened)
    if as_json:
        print_json(board.document())
    else:
        _print_scores(board)
    for name, reason in board.unavailable.items():
        say(f"unavailable: {name}: {reason}")
    for stem, reason in board.failures.items():
        say(f"failed: {stem}: {reason}")
    raise typer.Exit(1 if board.failures or not board.means else 0)


def named_files(words: list[str]) -> dict[str, Path]:
    """NAME=FILE words as a mapping.

    Raises:
        InputError: a word has no "=", or names no file.
    """
    files = {}
    for word in words:
        name, separator, place = word.partition("=")
        if not separator or not Path(place).is_file():
            raise InputError(f"--weights needs NAME=FILE with a file that exists, got {word!r}")
        files[name] = Path(place)
    return files


def _print_scores(board: "Scoreboard") -> None:
    """A table of all pictures and their means, and by what protocol."""
    from ldrestore.metrics.catalog import DECIBELS, find_metric

    names = list(board.means)
    digits = {name: find_metric(name).digits for name in names}

    def cells(values: "dict[str, float]") -> list[str]:
        return [_cell(values.get(name), digits[name]) for name in names]

    rows = [(stem, *cells(dict(values))) for stem, values in board.pictures.items()]
    rows.append((f"mean of {len(board.pictures)}", *cells(board.means)))
    protocol = board.protocol
    print(f"protocol {protocol.name}: {protocol.summary}")
    if not names:
        print("no score could be computed")
        return
    print_table(("picture", *names), rows)
    for name in board.set_values:
        print(f"{name} is of {board.set_pictures} pictures")
    for name in names:
        count = sum(name in values for values in board.pictures.values())
        if 0 < count < len(board.pictures):
            print(f"the mean of {name} is of the {count} pictures that have it")
    for name in (name for name in names if name in DECIBELS):
        if any(math.isinf(values.get(name, 0.0)) for values in board.pictures.values()):
            print(f"the mean of {name} counts a picture at most {protocol.psnr_cap:g} dB")


def _cell(value: float | None, digits: int) -> str:
    """A value in a table."""
    return "–" if value is None else f"{value:.{digits}f}"
