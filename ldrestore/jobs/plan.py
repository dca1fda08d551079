"""Which picture goes where: the inputs of a command mapped to targets, before anything is read or written."""

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from ldrestore.errors import ImageNotFoundError, ImageWriteError, InputError, OutputExistsError, printable
from ldrestore.jobs.outcome import Ignored, Job, Outcome, Status, state_of


class PictureFormat(StrEnum):
    """File formats that results can be written in."""

    PNG = "png"
    JPEG = "jpeg"
    TIFF = "tiff"
    WEBP = "webp"
    BMP = "bmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All work of one command call."""

    jobs: tuple[Job, ...]
    """What is to be done, in the order of the names."""
    settled: tuple[Outcome, ...] = ()
    """What is skipped, or has failed before it began."""
    ignored: tuple[Ignored, ...] = ()
    """Files of the input folders that are no pictures, or hidden."""
    ignored_folders: int = 0
    """Sub-folders that were not looked into, because recursion was not asked for."""


def plan_jobs(
    sources: Sequence[str],
    target: str,
    *,
    picture_format: PictureFormat | None,
    is_recursive: bool,
    may_overwrite: bool,
    since: float | None = None,
) -> Plan:
    """Map input files and folders to their targets.

    Args:
        sources: Files and folders, at least one.
        target: For one file: a file, an existing folder, or a name that ends with "/". For a folder: a folder. For
            several inputs: an existing folder, or a name that ends with "/".
        picture_format: Format of all results; None keeps each picture's own (HEIF becomes PNG).
        is_recursive: Whether sub-folders are looked into; links to folders are not followed.
        may_overwrite: Whether existing targets are written again.
        since: Targets written from then on, in seconds since the epoch, are another run's and are not written again;
            None where nobody else writes.

    Raises:
        InputError: the one source does not exist, or sources and target do not go together.
        OutputExistsError: source and target are files, the target exists, and `may_overwrite` is False.
        ImageWriteError: source and target are files, and the target's folder does not exist.
    """
    if len(sources) == 1 and not os.path.isdir(sources[0]):
        plan = _plan_file(sources[0], target, picture_format=picture_format, may_overwrite=may_overwrite)
        return _without_made(plan, since=since)
    found = _Inputs(sources, target, is_recursive=is_recursive)
    jobs = [
        Job(source=path, target=Path(target) / target_name(relative, picture_format), name=name)
        for name, path, relative in sorted(found.pictures)
    ]
    return _without_made(_settle(jobs, found, may_overwrite=may_overwrite), since=since)


def plan_pictures(source: str, target: str, *, is_recursive: bool) -> Plan:
    """All pictures of a file or folder, whose results go into one file.

    Args:
        source: A file or a folder.
        target: The file; no picture.
        is_recursive: Whether sub-folders are looked into; links to folders are not followed.

    Raises:
        InputError: the source does not exist.
    """
    _check_there(source)
    if not os.path.isdir(source):
        return Plan(jobs=(Job(source=Path(source), target=Path(target), name=Path(source).name),))
    found = _Inputs.of_folder(source, target, is_recursive=is_recursive)
    return Plan(
        jobs=tuple(Job(source=path, target=Path(target), name=name) for name, path, _ in sorted(found.pictures)),
        settled=tuple(found.failed),
        ignored=tuple(found.ignored),
        ignored_folders=found.ignored_folders,
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


def _plan_file(source: str, target: str, *, picture_format: PictureFormat | None, may_overwrite: bool) -> Plan:
    """Map one file; the arguments are those of `plan_jobs`, and so are the errors."""
    _check_there(source)
    source_path, target_path = Path(source), Path(target)
    if target.endswith(("/", os.sep)) or os.path.isdir(target):
        target_path = target_path / target_name(Path(source_path.name), picture_format)
    elif not os.path.isdir(target_path.parent):
        folder = printable(target_path.parent)
        raise ImageWriteError(target_path, f"there is no folder {folder}", "make the folder first")
    _check_target_file(source_path, target_path, picture_format)
    if os.path.lexists(target_path) and not may_overwrite:
        raise OutputExistsError(target_path, "the file exists", "choose another name, or overwrite it with --overwrite")
    job = Job(source=source_path, target=target_path, name=source, planned_state=state_of(target_path))
    return Plan(jobs=(job,))


def _check_there(source: str) -> None:
    """Refuse a source that is nowhere; a link that leads nowhere is a file that cannot be read.

    Raises:
        InputError: it does not exist.
    """
    if not os.path.lexists(source):
        raise InputError(f"no file or folder at {printable(source)}; check the path of IN")


def _check_target_file(source: Path, target: Path, picture_format: PictureFormat | None) -> None:
    """Refuse a target file that cannot be meant.

    Raises:
        InputError: the target is the source, its suffix names no format that can be written, or contradicts the format.
    """
    if _is_same(source, target):
        raise InputError(
            f"IN and OUT are the same file, {printable(source)}; give OUT another name, so that the original stays"
        )
    allowed = _suffixes_of(picture_format)
    if target.suffix.lower() not in allowed:
        raise InputError(
            f"OUT must end with one of {', '.join(allowed)}, got {target.name!r}; "
            "to write into a new folder, end its name with '/'"
        )


def _is_same(source: str | Path, target: str | Path) -> bool:
    """Whether two paths lead to one file or folder that is there."""
    try:
        return os.path.samefile(source, target)
    except (OSError, ValueError):  # one leads nowhere, round in a circle, or has too long a name
        return False


def _settle(jobs: Sequence[Job], found: "_Inputs", *, may_overwrite: bool) -> Plan:
    """Part what is to be done from what is skipped or cannot be."""
    clashes = _clashes(jobs)
    waiting: list[Job] = []
    settled = list(found.failed)
    for job in jobs:
        if job in clashes:
            settled.append(Outcome(job=job, status=Status.FAILED, reason=clashes[job], error=InputError.__name__))
        elif os.path.lexists(job.target) and not may_overwrite:
            settled.append(Outcome(job=job, status=Status.SKIPPED, reason=f"{printable(job.target)} exists"))
        else:
            waiting.append(replace(job, planned_state=state_of(job.target)))
    return Plan(
        jobs=tuple(waiting),
        settled=tuple(settled),
        ignored=tuple(found.ignored),
        ignored_folders=found.ignored_folders,
    )


def _without_made(plan: Plan, *, since: float | None) -> Plan:
    """A plan without jobs whose targets have been written since a time; these are skipped."""
    if since is None:
        return plan
    made = {job for job in plan.jobs if _is_written_since(job.target, since)}
    skipped = [
        Outcome(
            job=job, status=Status.SKIPPED, reason=f"{printable(job.target)} has been made by another run meanwhile"
        )
        for job in plan.jobs
        if job in made
    ]
    return replace(plan, jobs=tuple(job for job in plan.jobs if job not in made), settled=(*plan.settled, *skipped))


def _is_written_since(path: Path, since: float) -> bool:
    """Whether a file was written since a time; a time that is yet to come is another clock's, and says nothing."""
    try:
        return since <= os.stat(path).st_mtime <= time.time() + 1
    except (OSError, ValueError):
        return False


def _clashes(jobs: Iterable[Job]) -> dict[Job, str]:
    """Jobs that must not be done, with the reason: two for one target, or a target that is itself an input."""
    by_target: dict[Path, list[Job]] = defaultdict(list)
    for job in jobs:
        by_target[job.target].append(job)
    sources = {os.path.realpath(job.source) for job in jobs}
    reasons: dict[Job, str] = {}
    for target, group in by_target.items():
        if len(group) > 1:
            names = " and ".join(printable(job.name) for job in group)
            reasons |= dict.fromkeys(group, f"{names} would each become {printable(target)}; rename one of them")
        elif os.path.realpath(target) in sources:
            reasons[group[0]] = f"{printable(target)} is one of the inputs; name an OUT outside IN"
    return reasons


def _each_once(sources: Sequence[str]) -> list[str]:
    """Inputs without those that are the same folder, or the same file under the same name, in another spelling."""
    kept: dict[tuple[str, str], str] = {}
    for source in sources:
        kept.setdefault((os.path.realpath(source), "" if os.path.isdir(source) else Path(source).name), source)
    return list(kept.values())


class _Inputs:
    """What lies at the inputs: pictures, what is ignored, what cannot be read."""

    def __init__(self, sources: Sequence[str], target: str, *, is_recursive: bool) -> None:
        """Look at all inputs, whose results go into one folder.

        Args:
            sources: Files and folders; one that is named twice, however spelled, counts once.
            target: The folder; it is not looked into: it may hold the results of an earlier run.
            is_recursive: Whether sub-folders are looked into.

        Raises:
            InputError: the target is a file, an input itself, or no folder where it must be one.
        """
        self.pictures: list[tuple[str, Path, Path]] = []
        self.failed: list[Outcome] = []
        self.ignored: list[Ignored] = []
        self.ignored_folders = 0
        self.target = Path(target)
        self._excluded, self._is_recursive = os.path.realpath(target), is_recursive
        is_alone = len(sources) == 1
        if not is_alone:
            self._check_folder(target, len(sources))
        for source in _each_once(sources):
            if os.path.isdir(source):
                self._check_target(source)
                self._walk(Path(source), prefix="" if is_alone else f"{source.rstrip('/' + os.sep)}/")
            elif os.path.lexists(source):
                self.pictures.append((source, Path(source), Path(Path(source).name)))
            else:
                self._fail(Path(source), "no such file; check the path", ImageNotFoundError.__name__)
        found: dict[tuple[str, Path], tuple[str, Path, Path]] = {}
        for picture in self.pictures:
            found.setdefault((os.path.realpath(picture[1]), picture[2]), picture)
        self.pictures = list(found.values())  # a file may lie in a folder that is named, too

    @classmethod
    def of_folder(cls, source: str, target: str, *, is_recursive: bool) -> "_Inputs":
        """All pictures of a folder, whose results go into one file."""
        found = cls((), target, is_recursive=is_recursive)
        found._walk(Path(source), prefix="")
        return found

    def _check_folder(self, target: str, num_sources: int) -> None:
        """Refuse a target that cannot take the results of several inputs.

        Raises:
            InputError: it is no folder, and its name does not end like one.
        """
        if num_sources and not os.path.isdir(target) and (os.path.exists(target) or not target.endswith(("/", os.sep))):
            raise InputError(
                f"{num_sources} inputs need a folder as OUT, and {printable(target)} is none; end its name with '/' to "
                "make one"
            )

    def _check_target(self, source: str) -> None:
        """Refuse a target for a folder that is a file, or the folder itself.

        Raises:
            InputError: it is.
        """
        if os.path.exists(self.target) and not os.path.isdir(self.target):
            raise InputError(
                f"IN is a folder, so OUT must be one, but {printable(self.target)} is a file; name a folder"
            )
        if _is_same(source, self.target):
            raise InputError(
                f"IN and OUT are the same folder, {printable(source)}; name another OUT, so that the originals stay"
            )

    def _walk(self, source: Path, *, prefix: str) -> None:
        """Look through one folder; names of its pictures begin with the prefix."""
        from ldrestore.images.formats import is_image_path

        for folder, folders, files in os.walk(source, onerror=self._note):
            shown = [name for name in folders if not name.startswith(".")]
            shown = [name for name in shown if os.path.realpath(os.path.join(folder, name)) != self._excluded]
            if not self._is_recursive:
                self.ignored_folders += len(shown)
            folders[:] = shown if self._is_recursive else []
            for path in (Path(folder) / name for name in files):
                if path.name.startswith("."):
                    self.ignored.append(Ignored(path=path, reason="hidden"))
                elif not is_image_path(path):
                    self.ignored.append(Ignored(path=path, reason="not the suffix of a picture that can be read"))
                elif os.path.exists(path) and not os.path.isfile(path):
                    self._fail(path, "not a regular file; leave it out", InputError.__name__)
                else:
                    relative = path.relative_to(source)
                    self.pictures.append((prefix + relative.as_posix(), path, relative))

    def _note(self, error: OSError) -> None:
        """Keep the reason why a folder could not be listed."""
        reason = f"the folder cannot be read ({error.strerror}); check its permissions"
        self._fail(Path(str(error.filename)), reason, type(error).__name__)

    def _fail(self, path: Path, reason: str, error: str) -> None:
        """Keep an input that fails before it began."""
        job = Job(source=path, target=self.target, name=str(path))
        self.failed.append(Outcome(job=job, status=Status.FAILED, reason=f"{printable(path)}: {reason}", error=error))
