"""Who works on which result, so that two runs on one folder do each picture once."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ldrestore.errors import printable
from ldrestore.jobs.outcome import Job, Result, state_of
from ldrestore.jobs.runner import Work, make_parent


def claiming(work: Work, *, may_overwrite: bool) -> Work:
    """Work that does each picture only where no other run is at it, or has done it since it was planned.

    Args:
        work: Makes and writes one result.
        may_overwrite: Whether results that existed when they were planned are made again.
    """

    def claimed_work(job: Job) -> Result:
        make_parent(job.target)
        with claimed(job.target) as is_ours:
            if not is_ours:
                return Result(is_busy=True)
            if not may_overwrite and os.path.lexists(job.target):
                return Result(skipped=f"{printable(job.target)} exists")
            if job.planned_state is not None and state_of(job.target) != job.planned_state:
                return Result(skipped=f"{printable(job.target)} has been made by another run meanwhile")
            return work(job)

    return claimed_work


@contextmanager
def claimed(target: Path) -> Iterator[bool]:
    """Hold a result while it is made: a locked file beside it, which the system lets go when its process ends.

    A file that a killed run left behind is locked by nobody, and taken over. Where the file system knows no locks, or
    nothing can be written, everybody gets the claim: results are written whole all the same, some perhaps twice.

    Args:
        target: The file that is going to be written; its folder exists.

    Yields:
        Whether it is ours; another run has it otherwise.
    """
    path = claim_path(target)
    descriptor, is_ours = _take(path)
    try:
        yield is_ours
    finally:
        if descriptor is not None:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)
            if os.name == "nt":  # an open file cannot be removed there
                with contextlib.suppress(OSError):
                    path.unlink()


def claim_path(target: Path) -> Path:
    """The claim's file: hidden, and of a name that is short whatever the result's is."""
    return target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.claim")


def _take(path: Path) -> tuple[int | None, bool]:
    """The open and locked file, None where there is none; and whether the claim is ours."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except PermissionError:
            return None, os.name != "nt"  # Windows refuses to open what is being removed: somebody has just let it go
        except OSError:
            return None, True  # writing the result will say what is wrong
        if not _lock(descriptor):
            os.close(descriptor)
            return None, False
        with contextlib.suppress(OSError):
            if os.name == "nt" or os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor, True
        os.close(descriptor)  # it was removed, or made anew, between opening and locking


def _lock(descriptor: int) -> bool:
    """Lock an open file without waiting; True also where there are no locks."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # of Windows alone
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return os.name != "nt"  # msvcrt raises a plain one for a lock that is held
    return True
