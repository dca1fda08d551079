"""What a person sees: messages, one-line warnings, progress, the summary; all but results go to standard error."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ldrestore.errors import MetadataLossWarning, printable


def say(message: str) -> None:
    """Print one line on standard error, above a progress bar if one is shown; names in it do nothing to a terminal."""
    print(printable(message), file=sys.stderr)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(document, indent=2, sort_keys=True))


def print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, title: str | None = None) -> None:
    """Print a table on standard output; a cell's text is shown as it is, names in the first column on one line."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*("\n".join(escape(printable(line)) for line in cell.split("\n")) for cell in row))
    Console(highlight=False).print(table)


def progress_bar(*, is_shown: bool) -> Progress:
    """A bar on standard error; nothing at all where standard error is no terminal or `is_shown` is False."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (is_shown and console.is_terminal),
    )


@contextlib.contextmanager
def one_line_warnings() -> Iterator[None]:
    """Inside, a warning is shown as `warning: message`, without the line of code that raised it.

    What is left out of pictures beside their pixels is losses once a kind, however many pictures follow.
    """
    losses: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = str(message)
        if not issubclass(category, MetadataLossWarning):
            say(f"warning: {text}")
        elif text not in losses:
            losses.add(text)
            say(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
