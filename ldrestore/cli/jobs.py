"""Which picture goes where: the inputs of a command mapped to targets, before anything is read or written."""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ldrestore.errors import ImageWriteError, InputError, OutputExistsError


class PictureFormat(StrEnum):
    """File formats that results can be written in."""

    PNG = "png"
    JPEG = "jpeg"
    TIFF = "tiff"
    WEBP = "webp"
    BMP = "bmp"


class Status(StrEnum):
    """What became of one picture."""

    PLANNED = "planned"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One picture to work on."""

    source: Path
    """The file to read."""
    target: Path
    """The file to write."""
    name: str
    """The source as the user sees it: relative to the input folder, or as given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one job, and why."""

    job: Job
    status: Status
    reason: str | None = None
    """Why it was skipped or failed."""
    error: str | None = None
    """Class name of the error of a failed job."""
    seconds: float = 0.0
    """Wall-clock time spent on it."""
    record: dict[str, object] | None = None
    """How the result was made, where the command makes records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All work of one command call."""

    jobs: tuple[Job, ...]
    """What is to be done, in the order of the names."""
    settled: tuple[Outcome, ...] = ()
    """What is skipped, or has failed before it began."""
    num_ignored: int = 0
    """Files of the input folder that are no pictures, or hidden."""
    ignored_folders: int = 0
    """Sub-folders that were not looked into, because recursion was not asked for."""


def plan_jobs(
    source: str, target: str, *, picture_format: PictureFormat | None, is_recursive: bool, may_overwrite: bool
) -> Plan:
    """Map an input file or folder to its targets.

    Args:
        source: A file or a folder.
        target: For a file: a file, an existing folder, or a name that ends with "/". For a folder: a folder.
        picture_format: Format of all results; None keeps each picture's own (HEIF becomes PNG).
        is_recursive: Whether sub-folders are looked into; links to folders are not followed.
        may_overwrite: Whether existing targets are written again.

    Raises:
        InputError: the source does not exist, or source and target do not go together.
        OutputExistsError: source and target are files, the target exists, and `may_overwrite` is False.
        ImageWriteError: source and target are files, and the target's folder does not exist.
    """
    source_path, target_path = Path(source), Path(target)
    if source_path.is_dir():
        return _plan_folder(
            source_path,
            target_path,
            picture_format=picture_format,
            is_recursive=is_recursive,
            may_overwrite=may_overwrite,
        )
    if not source_path.exists():
        raise InputError(f"no file or folder at {source}; check the path of IN")
    if target.endswith(("/", os.sep)) or target_path.is_dir():
        target_path = target_path / target_name(Path(source_path.name), picture_format)
    elif not target_path.parent.is_dir():
        raise ImageWriteError(target_path, f"there is no folder {target_path.parent}", "make the folder first")
    _check_target_file(source_path, target_path, picture_format)
    if target_path.exists() and not may_overwrite:
        raise OutputExistsError(target_path, "the file exists", "choose another name, or overwrite it with --overwrite")
    return Plan(jobs=(Job(source=source_path, target=target_path, name=source),))


def plan_pictures(source: str, target: str, *, is_recursive: bool) -> Plan:
    """All pictures of a file or folder, whose results go into one file.

    Args:
        source: A file or a folder.
        target: The file; no picture.
        is_recursive: Whether sub-folders are looked into; links to folders are not followed.

    Raises:
        InputError: the source does not exist.
    """
    source_path, target_path = Path(source), Path(target)
    if not source_path.exists():
        raise InputError(f"no file or folder at {source}; check the path of IN")
    if not source_path.is_dir():
        return Plan(jobs=(Job(source=source_path, target=target_path, name=source_path.name),))
    walk = _Walk(source_path, target_path.resolve(), is_recursive=is_recursive)
    named = sorted((path.relative_to(source_path).as_posix(), path) for path in walk.pictures)
    unreadable = [
        Outcome(
            job=Job(source=path, target=target_path, name=str(path)), status=Status.FAILED, reason=reason, error=error
        )
        for path, reason, error in walk.unreadable
    ]
    return Plan(
        jobs=tuple(Job(source=path, target=target_path, name=name) for name, path in named),
        settled=tuple(unreadable),
        num_ignored=walk.num_ignored,
        ignored_folders=walk.ignored_folders,
    )


def target_name(relative: Path, picture_format: PictureFormat | None) -> Path:
    """Name of a result: the source's, with another suffix where its format changes.

    Args:
        relative: Source relative to the input folder.
        picture_format: Format asked for; None keeps the source's, and makes PNG of HEIF.
    """
    from ldrestore.images.formats import HEIF_SUFFIXES

    suffix = relative.suffix.lower()
    if picture_format is None:
        return relative.with_suffix(".png") if suffix in HEIF_SUFFIXES else relative
    suffixes = _suffixes_of(picture_format)
    return relative if suffix in suffixes else relative.with_suffix(suffixes[0])


def _suffixes_of(picture_format: PictureFormat | None) -> list[str]:
    """Suffixes that a target of a format may have, the usual one first; None stands for all formats."""
    from ldrestore.images.formats import SUFFIX_FORMATS

    return [suffix for suffix, name in SUFFIX_FORMATS.items() if picture_format is None or name == picture_format.name]


def _check_target_file(source: Path, target: Path, picture_format: PictureFormat | None) -> None:
    """Refuse a target file that cannot be meant.

    Raises:
        InputError: the target is the source, its suffix names no format that can be written, or contradicts the format.
    """
    if target.exists() and target.samefile(source):
        raise InputError(f"IN and OUT are the same file, {source}; give OUT another name, so that the original stays")
    allowed = _suffixes_of(picture_format)
    if target.suffix.lower() not in allowed:
        raise InputError(
            f"OUT must end with one of {', '.join(allowed)}, got {target.name!r}; "
            "to write into a new folder, end its name with '/'"
        )


def _plan_folder(
    source: Path, target: Path, *, picture_format: PictureFormat | None, is_recursive: bool, may_overwrite: bool
) -> Plan:
    """Map all pictures of a folder; the arguments are those of `plan_jobs`.

    Raises:
        InputError: the target is a file, or the source itself.
    """
    if target.exists() and not target.is_dir():
        raise InputError(f"IN is a folder, so OUT must be one, but {target} is a file; name a folder")
    if target.exists() and target.samefile(source):
        raise InputError(f"IN and OUT are the same folder, {source}; name another OUT, so that the originals stay")
    walk = _Walk(source, target.resolve(), is_recursive=is_recursive)
    jobs = [
        Job(source=path, target=target / target_name(path.relative_to(source), picture_format), name=name)
        for name, path in sorted((path.relative_to(source).as_posix(), path) for path in walk.pictures)
    ]
    clashes = _clashes(jobs)
    unreadable = [
        Outcome(job=Job(source=path, target=target, name=str(path)), status=Status.FAILED, reason=reason, error=error)
        for path, reason, error in walk.unreadable
    ]
    waiting: list[Job] = []
    settled = list(unreadable)
    for job in jobs:
        if job in clashes:
            settled.append(Outcome(job=job, status=Status.FAILED, reason=clashes[job], error=InputError.__name__))
        elif job.target.exists() and not may_overwrite:
            settled.append(Outcome(job=job, status=Status.SKIPPED, reason=f"{job.target} exists"))
        else:
            waiting.append(job)
    return Plan(
        jobs=tuple(waiting),
        settled=tuple(settled),
        num_ignored=walk.num_ignored,
        ignored_folders=walk.ignored_folders,
    )


def _clashes(jobs: Iterable[Job]) -> dict[Job, str]:
    """Jobs that must not be done, with the reason: two for one target, or a target that is itself an input."""
    by_target: dict[Path, list[Job]] = defaultdict(list)
    for job in jobs:
        by_target[job.target].append(job)
    sources = {job.source.resolve() for job in jobs}
    reasons: dict[Job, str] = {}
    for target, group in by_target.items():
        if len(group) > 1:
            names = " and ".join(job.name for job in group)
            reasons |= dict.fromkeys(group, f"{names} would each become {target}; rename one of them")
        elif target.resolve() in sources:
            reasons[group[0]] = f"{target} is one of the inputs; name an OUT outside IN"
    return reasons


class _Walk:
    """What lies in a folder: pictures, what is ignored, what cannot be read."""

    def __init__(self, source: Path, excluded: Path, *, is_recursive: bool) -> None:
        """Look through the folder.

        Args:
            source: The folder.
            excluded: Resolved folder that is not looked into: the results of an earlier run.
            is_recursive: Whether sub-folders are looked into.
        """
        from ldrestore.images.files import is_image_path

        self.pictures: list[Path] = []
        self.unreadable: list[tuple[Path, str, str]] = []
        self.num_ignored = 0
        self.ignored_folders = 0
        for folder, folders, files in os.walk(source, onerror=self._note):
            seen = [name for name in folders if not name.startswith(".")]
            seen = [name for name in seen if (Path(folder) / name).resolve() != excluded]
            if not is_recursive:
                self.ignored_folders = len(seen)
            folders[:] = seen if is_recursive else []
            for path in (Path(folder) / name for name in files):
                if path.name.startswith(".") or not is_image_path(path):
                    self.num_ignored += 1
                elif path.exists() and not path.is_file():
                    self.unreadable.append((path, f"{path}: not a regular file; leave it out", "InputError"))
                else:
                    self.pictures.append(path)

    def _note(self, error: OSError) -> None:
        """Keep the reason why a folder could not be listed."""
        reason = f"{error.filename}: the folder cannot be read ({error.strerror}); check its permissions"
        self.unreadable.append((Path(str(error.filename)), reason, type(error).__name__))
