"""Failures that all processes of a run learn of, so that none waits for one that is gone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.utils import gather

from ldrestore.errors import LDRestoreError, OtherProcessError


@contextmanager
def agreed() -> Iterator[None]:
    """Context that every process must enter at the same place; where one fails in it, all leave it with an error.

    Only what ldrestore raises on purpose is shared. Anything else is a fault of the code, ends its process at once, and
    the launcher then ends the others.

    Raises:
        LDRestoreError: what this process raised itself, if it is the first that failed.
        OtherProcessError: in all other processes.
    """
    failure: LDRestoreError | None = None
    try:
        yield
    except LDRestoreError as error:
        failure = error
    state = PartialState()
    if state.num_processes > 1:
        flags = gather(torch.tensor([int(failure is not None)], device=state.device))
        failed = [process for process, flag in enumerate(flags.tolist()) if flag]
        if failed and failed[0] != state.process_index:
            raise OtherProcessError(f"process {failed[0]} of the run failed; its own message says why") from failure
    if failure is not None:
        raise failure
