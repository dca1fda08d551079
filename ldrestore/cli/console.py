"""What a person sees: messages, one-line warnings, progress, the summary; all but results go to standard error."""

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from ldrestore.errors import MetadataLossWarning, printable

SECONDS_A_LINE = 30.0
"""Between two lines of `PlainProgress`."""


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
    Console(highlight=False, emoji=False).print(table)


class SpeedColumn(ProgressColumn):
    """How many files a second, or seconds a file."""

    def render(self, task: Task) -> Text:
        """The words for one bar."""
        return Text(speed_of(task.speed or 0.0))


def speed_of(files_a_second: float) -> str:
    """A speed in words: "3.2 a second", or "4.1 s each" where that is easier to grasp; empty for none yet."""
    if files_a_second <= 0:
        return ""
    return f"{files_a_second:.1f} a second" if files_a_second >= 1 else f"{1 / files_a_second:.1f} s each"


def progress_bar(*, is_shown: bool) -> Progress:
    """A bar on standard error; nothing at all where standard error is no terminal or `is_shown` is False."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        SpeedColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        expand=True,
        disable=not (is_shown and console.is_terminal),
    )


class PlainProgress:
    """A line now and then, for logs: where standard error is no terminal, and a run takes long."""

    def __init__(self, label: str, total: int, *, is_shown: bool, now: Callable[[], float] = time.monotonic) -> None:
        """Begin before the first file.

        Args:
            label: What is done, e.g. "restoring".
            total: How many files there are.
            is_shown: Whether lines are wanted; none are written to a terminal.
            now: The clock, in seconds.
        """
        self._label, self._total, self._now = label, total, now
        self._is_shown = is_shown and not Console(stderr=True).is_terminal
        self._begin = self._last = now()
        self._done = 0

    def advance(self) -> None:
        """One more file is done; a line is written every `SECONDS_A_LINE`."""
        self._done += 1
        present = self._now()
        if not self._is_shown or present - self._last < SECONDS_A_LINE or self._done == self._total:
            return
        self._last = present
        speed = self._done / (present - self._begin)
        left = timedelta(seconds=round((self._total - self._done) / speed))
        say(f"{self._label}: {self._done} of {self._total}, {speed_of(speed)}, {left} left")


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
