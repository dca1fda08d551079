"""Which picture goes where, for pictures that lie elsewhere or that a Parquet manifest lists."""

import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ldrestore.errors import InputError, MissingExtraError, printable
from ldrestore.images.formats import is_image_path
from ldrestore.jobs.outcome import Ignored, Job, Outcome, Status, state_of
from ldrestore.jobs.plan import PictureFormat, Plan, target_name
from ldrestore.serving.remote_files import is_local, is_manifest, is_url, open_place

SOURCE_COLUMN, TARGET_COLUMN = "source", "target"
"""Columns of a manifest: path or URL of a picture, and, if there is one, the result's name relative to OUT."""


def plan_elsewhere(
    sources: Sequence[str],
    target: str,
    *,
    picture_format: PictureFormat | None,
    is_recursive: bool,
    may_overwrite: bool,
) -> Plan:
    """Map pictures of URLs, folders and manifests to their targets, by listing alone.

    Args:
        sources: Files and folders, as paths or URLs, and manifests.
        target: A folder, as path or URL.
        picture_format: Format of all results; None keeps each picture's own (HEIF becomes PNG).
        is_recursive: Whether sub-folders are looked into.
        may_overwrite: Whether existing targets are written again.

    Raises:
        InputError: a source is not there, cannot be listed, or is no manifest; or the target is a file.
        MissingExtraError: pyarrow is not installed.
    """
    found = _Found()
    for source in dict.fromkeys(sources):
        if is_manifest(source):
            _read_manifest(source, found)
        else:
            prefix = "" if len(sources) == 1 else f"{source.rstrip('/')}/"
            _list_place(source, found, is_recursive=is_recursive, prefix=prefix)
    made = _Made(target)
    jobs: list[Job] = []
    settled: list[Outcome] = []
    counts = Counter(target_name(one.relative, picture_format) for one in found.pictures)
    for one in sorted(found.pictures, key=lambda one: one.name):
        relative = target_name(one.relative, picture_format)
        job = _job(one, made, relative)
        if one.fault is not None:
            settled.append(_failed(job, one.fault))
        elif counts[relative] > 1:
            reason = f"{counts[relative]} pictures would become {printable(relative)}; name their results apart"
            settled.append(_failed(job, reason))
        elif made.has(relative) and not may_overwrite:
            settled.append(Outcome(job=job, status=Status.SKIPPED, reason=f"{printable(job.target_place)} exists"))
        else:
            jobs.append(job)
    return Plan(
        jobs=tuple(jobs), settled=tuple(settled), ignored=tuple(found.ignored), ignored_folders=found.ignored_folders
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """A picture that was found."""

    name: str
    """As the user sees it."""
    place: str
    """Its path or URL."""
    relative: Path
    """Its result's name below OUT, before the format asked for."""
    is_local: bool
    fault: str | None = None
    """Why it cannot be done."""


@dataclass(slots=True)
class _Found:
    """What lies at the sources."""

    pictures: list[_Picture] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    ignored_folders: int = 0


class _Made:
    """The folder that results go to, and what lies there."""

    def __init__(self, target: str) -> None:
        """List it.

        Args:
            target: A path or URL; what is not there yet holds nothing.

        Raises:
            InputError: it is a file, or cannot be listed.
        """
        self._file_system, self._root = open_place(target)
        self.is_local = is_local(self._file_system)
        self.place = self._root if self.is_local else target.rstrip("/")
        if _listed(self._file_system.isfile, self._root, target):
            raise InputError(
                f"OUT must be a folder for pictures of URLs and manifests, got the file {printable(target)}"
            )
        is_there = not self.is_local and _listed(self._file_system.isdir, self._root, target)
        self._paths = set(_listed(self._file_system.find, self._root, target)) if is_there else set()

    def has(self, relative: Path) -> bool:
        """Whether a result is there."""
        if self.is_local:
            return (Path(self._root) / relative).exists()
        return f"{self._root.rstrip('/')}/{relative.as_posix()}" in self._paths


def _list_place(source: str, found: _Found, *, is_recursive: bool, prefix: str) -> None:
    """Find the pictures of a folder, or take a file as it is.

    Args:
        source: A path or URL.
        found: Takes what is there.
        is_recursive: Whether sub-folders are looked into.
        prefix: Of the names of the pictures in a folder.

    Raises:
        InputError: it is not there, or cannot be listed.
    """
    file_system, root = open_place(source)
    if _listed(file_system.isfile, root, source):
        name = PurePosixPath(root).name
        place = root if is_local(file_system) else source
        found.pictures.append(_Picture(name=source, place=place, relative=Path(name), is_local=is_local(file_system)))
        return
    if not _listed(file_system.isdir, root, source):
        raise InputError(f"no file or folder at {printable(source)}; check the path or URL of IN")
    root, place = root.rstrip("/"), (root if is_local(file_system) else source).rstrip("/")
    paths = _listed(lambda path: file_system.find(path, maxdepth=None if is_recursive else 1), root, source)
    for path in sorted(paths):
        relative = PurePosixPath(path[len(root) :].lstrip("/"))
        if any(part.startswith(".") for part in relative.parts):
            found.ignored.append(Ignored(path=Path(path), reason="hidden"))
        elif not is_image_path(str(relative)):
            found.ignored.append(Ignored(path=Path(path), reason="not the suffix of a picture that can be read"))
        else:
            found.pictures.append(
                _Picture(
                    name=f"{prefix}{relative}",
                    place=f"{place}/{relative}",
                    relative=Path(relative),
                    is_local=is_local(file_system),
                )
            )


def _read_manifest(source: str, found: _Found) -> None:
    """Take the pictures that a manifest lists.

    Args:
        source: Path or URL of the manifest; paths in it count from its folder.
        found: Takes them.

    Raises:
        InputError: it is not there, is damaged, or has no such columns.
        MissingExtraError: pyarrow is not installed.
    """
    folder = source.rpartition("/")[0]
    for number, (place, target) in enumerate(_rows(source)):
        row = f"row {number} of {PurePosixPath(source).name}"
        if not isinstance(place, str) or not place.strip():
            found.pictures.append(
                _Picture(name=row, place=row, relative=Path(row), is_local=True, fault="names no picture")
            )
            continue
        if not is_url(place) and not os.path.isabs(place) and folder:
            place = f"{folder}/{place}"
        relative = PurePosixPath(place).name if target is None else target
        fault = _fault_of(relative)
        try:
            file_system, path = open_place(place)
        except InputError as error:
            found.pictures.append(
                _Picture(name=place, place=place, relative=Path(row), is_local=True, fault=str(error))
            )
            continue
        found.pictures.append(
            _Picture(
                name=place,
                place=path if is_local(file_system) else place,
                relative=Path(row if fault else str(relative)),
                is_local=is_local(file_system),
                fault=fault,
            )
        )


def _fault_of(relative: object) -> str | None:
    """Why a manifest's name of a result cannot be taken; None where it can."""
    if not isinstance(relative, str):
        return f"the name of its result must be text, got {relative!r}"
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or Path(relative).is_absolute() or "\\" in relative or "\0" in relative:
        return f"its result must lie below OUT, got {printable(relative)}"
    if not is_image_path(relative):
        return f"its result must have the suffix of a picture, got {printable(relative)}"
    return None


def _rows(source: str) -> Iterator[tuple[object, object]]:
    """Source and target of each row of a manifest; a target that it does not tell is None.

    Raises:
        InputError: it is not there, is damaged, or has no such columns.
        MissingExtraError: pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "ray", "to read Parquet manifests")
    from pyarrow.parquet import ParquetFile

    file_system, path = open_place(source)
    try:
        with file_system.open(path, "rb") as file, ParquetFile(file) as table:
            known = table.schema_arrow.names
            if SOURCE_COLUMN not in known:
                raise InputError(
                    f"{printable(source)} needs a column {SOURCE_COLUMN!r} of paths or URLs, and has {', '.join(known)}"
                )
            columns = [name for name in (SOURCE_COLUMN, TARGET_COLUMN) if name in known]
            for batch in table.iter_batches(columns=columns):
                values = batch.to_pydict()
                sources = values[SOURCE_COLUMN]
                yield from zip(sources, values.get(TARGET_COLUMN, [None] * len(sources)), strict=True)
    except (OSError, ValueError) as error:  # ValueError: what pyarrow raises of damage, too
        if isinstance(error, InputError):
            raise
        raise InputError(f"{printable(source)} cannot be read as a manifest ({printable(error)})") from error


def _listed(step: Callable[[str], Any], path: str, place: str) -> Any:  # Any: fsspec has no types
    """Look at a file system, the packages of which raise errors of their own.

    Raises:
        InputError: it cannot be reached.
    """
    try:
        return step(path)
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise InputError(
            f"{printable(place)} cannot be reached ({reason}); check URL, network and credentials"
        ) from error


def _job(picture: _Picture, made: _Made, relative: Path) -> Job:
    """The job of a picture."""
    target = Path(made.place) / relative if made.is_local else Path(relative.name)
    return Job(
        source=Path(picture.place) if picture.is_local else Path(PurePosixPath(picture.place).name),
        target=target,
        name=picture.name,
        planned_state=state_of(target) if made.is_local else (),
        source_url=None if picture.is_local else picture.place,
        target_url=None if made.is_local else f"{made.place}/{relative.as_posix()}",
    )


def _failed(job: Job, reason: str) -> Outcome:
    """The outcome of a picture that cannot be done."""
    words = f"{printable(job.source_place)}: {reason}"
    return Outcome(job=job, status=Status.FAILED, reason=words, error=InputError.__name__)
