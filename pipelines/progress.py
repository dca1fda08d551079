"""Progress bars where somebody watches, and none in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diffusers.utils import logging


@contextmanager
def loading_bar_in_terminals_only() -> Iterator[None]:
    """Keep diffusers from drawing a bar over the parts it loads where standard error is no terminal; restored after."""
    was_enabled = logging.is_progress_bar_enabled()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


StepReport = Callable[[int, int], None]
"""Is told how many steps or tiles are done, and of how many; what it raises ends the call."""


class ReportedSteps:
    """Takes the place of a pipeline's bar, `pipeline.progress_bar`, and tells a function of each step or tile."""

    def __init__(self, on_step: StepReport) -> None:
        """Begin before the first step.

        Args:
            on_step: Is told of each.
        """
        self._on_step = on_step

    @contextmanager
    def __call__(self, *, total: int) -> Iterator["_Count"]:
        """A bar of so many steps; a stage that is begun anew, with smaller tiles, counts anew."""
        self._on_step(0, total)
        yield _Count(total, self._on_step)


class _Count:
    """How many steps of one bar are done."""

    def __init__(self, total: int, on_step: StepReport) -> None:
        self.done, self.total, self._on_step = 0, total, on_step

    def update(self, steps: int = 1) -> None:
        """So many more are done."""
        self.done += steps
        self._on_step(self.done, self.total)
