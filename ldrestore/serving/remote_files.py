"""Pictures that lie elsewhere, such as in a bucket: a worker fetches each, restores it, and puts back what it wrote."""

import functools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldrestore.errors import ImageFileError, ImageNotFoundError, ImageWriteError, InputError, printable
from ldrestore.jobs.outcome import Job, Result
from ldrestore.jobs.runner import Work

MANIFEST_SUFFIX = ".parquet"


def is_url(place: str) -> bool:
    """Whether a path is one for fsspec, such as `s3://bucket/a.jpg` or `memory://a.jpg`."""
    return "://" in place


def is_manifest(source: str) -> bool:
    """Whether a source is a list of pictures, by its name."""
    return source.lower().endswith(MANIFEST_SUFFIX)


def is_elsewhere(sources: Sequence[str], target: str) -> bool:
    """Whether a call names something that `plan_jobs` does not read: a URL or a manifest."""
    return is_url(target) or any(is_url(source) or is_manifest(source) for source in sources)


def open_place(place: str) -> tuple[Any, str]:  # Any: fsspec has no types
    """The file system of a path or URL, and the path in it.

    Raises:
        InputError: nobody knows such a URL, or the package for it is missing.
    """
    import fsspec

    try:
        file_system, path = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{printable(place)} cannot be reached ({printable(error)}); install the fsspec package of its kind, "
            "such as s3fs for s3:// or gcsfs for gs://"
        ) from error
    return file_system, str(path)


def is_local(file_system: Any) -> bool:  # Any: fsspec has no types
    """Whether a file system is this machine's own, so that its files need no fetching."""
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(file_system, LocalFileSystem)


def carrying(work: Work, *, may_overwrite: bool) -> Work:
    """Work whose pictures may lie elsewhere: they are fetched for it, and its results are put where they belong.

    Args:
        work: Makes and writes one result in folders of this machine.
        may_overwrite: Whether results that exist elsewhere are written again.
    """

    def carried_work(job: Job) -> Result:
        if job.source_url is None and job.target_url is None:
            return work(job)
        if job.target_url is not None and not may_overwrite and _reached(_exists, job.target_url, ImageWriteError):
            return Result(skipped=f"{printable(job.target_url)} exists")
        with tempfile.TemporaryDirectory(prefix="ldrestore-") as folder:
            here = _as_local(job, Path(folder))
            if job.source_url is not None:
                _fetch(job.source_url, here.source)
            try:
                result = work(here)
            except ImageFileError as error:
                raise _as_elsewhere(
                    error, {str(here.source): job.source_place, str(here.target): job.target_place}
                ) from error
            if job.target_url is not None and result.skipped is None and not result.is_busy:
                _put_beside(here.target, job.target_url)
        return result

    return carried_work


def _as_local(job: Job, folder: Path) -> Job:
    """A job in a folder of this machine, as far as it lies elsewhere."""
    source, target, state = job.source, job.target, job.planned_state
    if job.source_url is not None:
        source = folder / "in" / Path(job.source.name)
        source.parent.mkdir()
    if job.target_url is not None:
        target, state = folder / "out" / Path(job.target.name), None
        target.parent.mkdir()
    return replace(job, source=source, target=target, planned_state=state, source_url=None, target_url=None)


def _as_elsewhere(error: ImageFileError, places: dict[str, str]) -> ImageFileError:
    """An error of a file that was fetched, with the place it came from in its words."""
    reason = error.reason
    for here, there in places.items():
        reason = reason.replace(here, printable(there))
    return type(error)(places.get(error.path, error.path), reason, error.remedy)


def _fetch(url: str, path: Path) -> None:
    """Get a file.

    Raises:
        ImageFileError: it is not there, or cannot be had.
    """

    def copy(place: str) -> None:
        file_system, remote = open_place(place)
        with file_system.open(remote, "rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)

    _reached(copy, url, ImageFileError)


def _put_beside(result: Path, url: str) -> None:
    """Put a result elsewhere with what lies beside it, itself last: a picture that is there is done.

    Raises:
        ImageWriteError: it cannot be put there.
    """
    folder = url.rpartition("/")[0]
    for path in sorted(result.parent.iterdir(), key=lambda path: path == result):
        _reached(functools.partial(_put, path), f"{folder}/{path.name}", ImageWriteError)


def _put(path: Path, url: str) -> None:
    """Put one file elsewhere, whole or not at all as far as the file system there can."""
    file_system, remote = open_place(url)
    file_system.makedirs(remote.rpartition("/")[0], exist_ok=True)
    try:
        with file_system.transaction, file_system.open(remote, "wb") as target, path.open("rb") as source:
            shutil.copyfileobj(source, target)
    except BaseException:
        file_system.clear_instance_cache()  # fsspec before 2026.9 leaves a failed transaction open, and lends it again
        raise


def _exists(url: str) -> bool:
    """Whether a file is there."""
    file_system, path = open_place(url)
    return bool(file_system.exists(path))


def _reached(step: Callable[[str], Any], url: str, kind: type[ImageFileError]) -> Any:  # Any: what the step gives
    """Do a step with a file elsewhere, whose packages raise errors of their own.

    Raises:
        ImageFileError: of the kind asked for, with the reason in it.
    """
    try:
        return step(url)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise ImageNotFoundError(url, "no such file", "check the URL") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise kind(url, f"cannot be reached ({printable(reason)})", "check URL, network and credentials") from error
