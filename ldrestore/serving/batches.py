"""Many pictures of one visitor: their states as they change, and a zip of what became of them."""

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ldrestore.errors import InputError, RunCancelledError, printable
from ldrestore.jobs.outcome import Status
from ldrestore.serving.studio import Studio, never, record_file_of, result_name
from ldrestore.serving.temporary_store import distinct_names
from ldrestore.serving.wishes import Wishes

REPORT_NAME = "report.json"
"""Of the file in the zip that tells what became of every picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEntry:
    """One picture of a batch."""

    name: str
    """As the visitor calls it."""
    status: Status = Status.PLANNED
    reason: str | None = None
    """Why it failed or was cancelled."""
    result: Path | None = None
    """The restored file; its name is the picture's own, or with a number where two are called alike."""
    seconds: float = 0.0
    """That it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """All pictures of a batch, in the order they came."""

    entries: tuple[BatchEntry, ...]
    archive: Path | None = None
    """The zip, once all are done or cancelled and at least one is there."""

    def count(self, *states: Status) -> int:
        """How many pictures are in any of these states."""
        return sum(entry.status in states for entry in self.entries)


def restore_many(
    studio: Studio,
    uploads: Sequence[Path],
    wishes: Wishes,
    folder: Path,
    *,
    is_cancelled: Callable[[], bool] = never,
) -> Iterator[BatchState]:
    """Restore pictures one after another; others who wait for the device come in between.

    Args:
        studio: Of the page.
        uploads: The pictures' files.
        wishes: What is asked of all of them; no mask.
        folder: Of the store; everything goes there.
        is_cancelled: Asked before each picture, and at each step.

    Yields:
        The state whenever it changes; the last has the zip.

    Raises:
        InputError: no picture, too many, or a mask.
        OSError: the disk is full.
    """
    if not uploads or len(uploads) > studio.settings.max_batch:
        raise InputError(f"a batch takes 1 to {studio.settings.max_batch} pictures, got {len(uploads)}")
    if wishes.protect is not None:
        raise InputError("a mask belongs to one picture; restore that picture by itself")
    entries = [BatchEntry(name=upload.name) for upload in uploads]
    targets = distinct_names([_target(upload) for upload in uploads])
    with studio.store.holding(folder):
        for index, (upload, target) in enumerate(zip(uploads, targets, strict=True)):
            if is_cancelled():
                break
            entries[index] = replace(entries[index], status=Status.RUNNING)
            yield BatchState(entries=tuple(entries))
            entries[index] = _restored(studio, upload, wishes, folder, name=target, is_cancelled=is_cancelled)
            yield BatchState(entries=tuple(entries))
        entries = [
            replace(entry, status=Status.CANCELLED, reason="cancelled") if entry.status is Status.PLANNED else entry
            for entry in entries
        ]
        archive = _write_archive(entries, folder / "restored.zip")
        yield BatchState(entries=tuple(entries), archive=archive)


def _target(upload: Path) -> str:
    """Name of a result; of what is no picture its own, since it fails by itself."""
    try:
        return result_name(upload.name, upload)
    except OSError:
        return upload.name


def _restored(
    studio: Studio, upload: Path, wishes: Wishes, folder: Path, *, name: str, is_cancelled: Callable[[], bool]
) -> BatchEntry:
    """One picture, whatever becomes of it."""
    try:
        with studio.devices.worker(is_cancelled) as worker:
            outcome = studio.run(worker, upload, wishes, folder / "results", name=name, is_cancelled=is_cancelled)
    except RunCancelledError:
        return BatchEntry(name=upload.name, status=Status.CANCELLED, reason="cancelled")
    is_done = outcome.status is Status.DONE
    return BatchEntry(
        name=upload.name,
        status=outcome.status,
        reason=outcome.reason,
        result=outcome.job.target if is_done else None,
        seconds=outcome.seconds,
    )


def _write_archive(entries: Sequence[BatchEntry], path: Path) -> Path | None:
    """A zip of the results, their records and the report; None where there is no result.

    All names in it are plain ones: no folder, no "..", none twice.
    """
    done = [entry for entry in entries if entry.result is not None]
    if not done:
        return None
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for entry in done:
            assert entry.result is not None, "chosen by it"
            for file in filter(None, (entry.result, record_file_of(entry.result))):
                archive.write(file, file.name)
        archive.writestr(REPORT_NAME, json.dumps([_line(entry) for entry in entries], indent=2, ensure_ascii=False))
    return path


def _line(entry: BatchEntry) -> dict[str, object]:
    """What the report says of a picture."""
    return {
        "name": printable(entry.name),
        "status": entry.status.value,
        "result": None if entry.result is None else entry.result.name,
        "reason": entry.reason,
        "seconds": round(entry.seconds, 3),
    }
