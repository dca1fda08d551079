"""Progress bars where somebody watches, and none in a log."""

import sys
from collections.abc import Iterator
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
