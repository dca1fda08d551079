"""The work of `ldrestore restore`: a loaded model that restores one file after another."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldrestore.errors import ImageWriteError, InputError, LDRestoreError, OutputExistsError, printable
from ldrestore.images.changes import changes_of, is_changes_file, write_changes
from ldrestore.images.encoding import check_target
from ldrestore.images.files import read_photo, write_photo
from ldrestore.images.formats import LOSSY_FORMATS, SUFFIX_FORMATS
from ldrestore.images.photo import Photo
from ldrestore.images.thumbnails import thumbnail_of
from ldrestore.jobs.claims import claiming
from ldrestore.jobs.outcome import Job, Outcome, Result, Status
from ldrestore.jobs.plan import Plan
from ldrestore.jobs.request import RestoreRequest
from ldrestore.pipelines.progress import ReportedSteps, StepReport
from ldrestore.records import path_beside, record_path, with_file, write_record
from ldrestore.restorers import load_restorer
from ldrestore.tracks import checked_options


def load_pipeline(request: RestoreRequest) -> Any:
    """The model of a request, loaded where and how it says; see `restorers.load_restorer`.

    Raises:
        LDRestoreError: it cannot be had.
    """
    return load_restorer(
        request.model, base=request.base, device=request.device, dtype=request.dtype, engine=request.engine
    )


class RestoreWorker:
    """One model in one process, for many pictures."""

    def __init__(
        self,
        request: RestoreRequest,
        *,
        pipeline: Any = None,
        on_step: StepReport | None = None,
        shows_progress: bool = False,
    ) -> None:
        """Load the model, and refuse what it would refuse at each picture.

        Args:
            request: What is asked of all pictures.
            pipeline: The request's model, where it is loaded already.
            on_step: Is told of each step or tile of each picture, in place of bars; what it raises ends the picture.
            shows_progress: Whether the pipeline draws bars of its own, in a terminal.

        Raises:
            InputError: an option that the model does not take.
            LDRestoreError: the model, or what an option names, cannot be had.
        """
        self.request = request
        self.pipeline: Any = pipeline or load_pipeline(request)
        self.pipeline.set_progress_bar_config(disable=None if shows_progress else True)  # None: in terminals only
        if on_step is not None:
            self.pipeline.progress_bar = ReportedSteps(on_step)
        self.options = replace(checked_options(self.pipeline, request.options), output_type="photo")
        self._do = claiming(self._restore_file, may_overwrite=request.may_overwrite)

    def __call__(self, job: Job) -> Result:
        """Read, restore and write one picture, and its record, unless another run does.

        Raises:
            LDRestoreError: the picture cannot be read, restored or written.
        """
        return self._do(job)

    def restore(self, photo: Photo) -> Any:
        """Restore a picture in memory.

        Returns:
            A `RestoreOutput` of one photo.
        """
        return self.pipeline.restore(photo, self.options)

    def _restore_file(self, job: Job) -> Result:
        """One picture, the result of which is ours to write."""
        request = self.request
        photo = read_photo(job.source, max_pixels=request.max_pixels, clip=request.options.clip)
        scale = request.options.scale
        check_target(
            job.target, height=photo.height * scale, width=photo.width * scale, has_alpha=photo.alpha is not None
        )
        if not request.may_overwrite:
            _check_places(job.target, request)
        output = self.restore(photo)
        result, record = output.photos[0], output.records[0]
        is_lossy = SUFFIX_FORMATS[job.target.suffix.lower()] in LOSSY_FORMATS
        notes: list[str] = []

        def write_beside(written: Path) -> None:
            """What lies beside the picture is there first: a picture that is there is done."""
            nonlocal record
            try:
                if request.has_record:
                    record = with_file(record, written, quality=request.quality if is_lossy else None)
                    write_record(record, record_path(job.target))
                if request.has_changes:
                    write_changes(changes_of(result, photo), changes_path(job.target))
            except ImageWriteError as error:  # noted only, for the picture can be written
                notes.append(str(error))

        write_photo(
            result, job.target, quality=request.quality, overwrite=request.may_overwrite, on_written=write_beside
        )
        return Result(
            record=record,
            advice=tuple(output.advice[0]) if output.advice else (),
            notes=tuple(notes),
            thumbnails=(thumbnail_of(photo), thumbnail_of(result)) if request.has_thumbnails else None,
        )


def changes_path(result: Path) -> Path:
    """Where the map of what was changed lies: beside the result, under its name and ".changes.png"."""
    return path_beside(result, ".changes.png")


def plan_maps(plan: Plan, *, may_overwrite: bool) -> Plan:
    """A plan in which pictures whose map of changes would take another file's place have failed before they began.

    Args:
        plan: Of pictures that each get a map.
        may_overwrite: Whether a file that lies there and is no map may go; another picture's result never may.
    """
    targets = {job.target for job in (*plan.jobs, *(outcome.job for outcome in plan.settled))}
    waiting: list[Job] = []
    failed: list[Outcome] = []
    for job in plan.jobs:
        place = changes_path(job.target)
        try:
            if place in targets:
                raise InputError(f"{printable(place)} would be its map and another picture's result; rename one")
            if not may_overwrite:
                _check_map_place(place)
        except LDRestoreError as error:
            failed.append(Outcome(job=job, status=Status.FAILED, reason=str(error), error=type(error).__name__))
        else:
            waiting.append(job)
    return replace(plan, jobs=tuple(waiting), settled=(*plan.settled, *failed))


def _check_places(target: Path, request: RestoreRequest) -> None:
    """Refuse to replace what lies beside a result and is not ours.

    Raises:
        OutputExistsError: there is such a file.
    """
    if request.has_record:
        _check_record_place(record_path(target))
    if request.has_changes:
        _check_map_place(changes_path(target))


def _check_map_place(place: Path) -> None:
    """Refuse to replace a file that is not a map of ours.

    Raises:
        OutputExistsError: there is such a file.
    """
    if os.path.lexists(place) and not is_changes_file(place):
        raise OutputExistsError(
            place, "lies where the map of changes belongs, and is none", "move it, or use --overwrite"
        )


def _check_record_place(path: Path) -> None:
    """Refuse to replace a file that is not a record of ours; some cameras' albums keep JSON files of that name.

    Raises:
        OutputExistsError: there is such a file.
    """
    try:
        is_record = "ldrestore" in json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, RecursionError):
        is_record = False
    if not is_record:
        raise OutputExistsError(
            path, "lies where the record belongs, and is none", "move it, or use --no-record or --overwrite"
        )
