"""Loading models of transformers without a progress bar."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar over the weights it loads; as it was before, afterwards."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()


@contextmanager
def without_load_report() -> Iterator[None]:
    """Keep transformers from listing the weights that a part of a model leaves over; as it was before, afterwards."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
