"""One picture of a run, and what became of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    """State of one picture."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One picture to work on."""

    source: Path
    """The file to read."""
    target: Path
    """The file to write."""
    name: str
    """The source as the user sees it: relative to the input folder, or as given."""
    planned_state: tuple[int, ...] | None = None
    """What lay at the target when it was planned, see `state_of`; None where nobody has looked."""
    source_url: str | None = None
    """Where the source lies if not in a folder of this machine; then `source` is its name alone."""
    target_url: str | None = None
    """Where the target goes if not into a folder of this machine; then `target` is its name alone."""

    @property
    def source_place(self) -> str:
        """The source's path or URL."""
        return self.source_url or str(self.source)

    @property
    def target_place(self) -> str:
        """The target's path or URL."""
        return self.target_url or str(self.target)


def state_of(path: Path) -> tuple[int, ...]:
    """What tells one content of a file from the next, since results are written anew and renamed; empty for no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a null character in the path
        return ()
    return status.st_ino, status.st_mtime_ns, status.st_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the work on one picture gave."""

    record: Mapping[str, object] | None = None
    """How it was made, where the work makes records."""
    advice: tuple[str, ...] = ()
    """What the model does not change unasked, and how to ask."""
    notes: tuple[str, ...] = ()
    """What went wrong beside the result, such as a record that could not be written."""
    thumbnails: tuple[bytes, bytes] | None = None
    """The picture before and after as small JPEGs, where they are wanted for a report."""
    skipped: str | None = None
    """Why nothing was done; None where something was."""
    is_busy: bool = False
    """Whether another run works on it: it is to be tried again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one job, and why."""

    job: Job
    status: Status
    reason: str | None = None
    """Why it was skipped, failed or cancelled."""
    error: str | None = None
    """Class name of the error of a failed job."""
    seconds: float = 0.0
    """Wall-clock time spent on it."""
    record: Mapping[str, object] | None = None
    """How the result was made, where the work makes records."""
    advice: tuple[str, ...] = ()
    """See `Result`."""
    notes: tuple[str, ...] = ()
    """See `Result`."""
    thumbnails: tuple[bytes, bytes] | None = None
    """See `Result`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A file that is left alone."""

    path: Path
    reason: str
    """Why, such as "hidden"."""
