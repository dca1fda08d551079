"""What `ldrestore explain` found, ready to be written, and the way through a folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from ldrestore.cli.batch import run_plan
from ldrestore.cli.console import say
from ldrestore.cli.jobs import Job, Outcome, Plan, Status
from ldrestore.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What there is to write, and what failed on the way."""

    document: Mapping[str, Any]
    page: str
    figures: Mapping[str, bytes]
    failed: tuple[Outcome, ...] = ()


def look_at_all(plan: Plan, look_at: Callable[[Job], None], *, is_quiet: bool) -> tuple[Outcome, ...]:
    """Look at all pictures of a folder.

    Args:
        plan: The pictures.
        look_at: Keeps what it sees in a picture.
        is_quiet: Whether no progress is shown.

    Returns:
        What failed; each has been named with its reason.

    Raises:
        InputError: there are no pictures.
        Exit: no picture could be looked at.
    """
    if not plan.jobs and not plan.settled:
        hint = "; look into its sub-folders with --recursive" if plan.ignored_folders else ""
        raise InputError(f"no pictures found in IN{hint}")
    outcomes = run_plan(plan, look_at, label="explaining", is_quiet=is_quiet)
    failed = tuple(outcome for outcome in outcomes if outcome.status is Status.FAILED)
    if not any(outcome.status is Status.DONE for outcome in outcomes):
        say("nothing is written: no picture could be looked at")
        raise typer.Exit(1)
    return failed
