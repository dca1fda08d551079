"""The work of `ldrestore restore`: a loaded model that restores one file after another."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldrestore.errors import ImageWriteError, OutputExistsError
from ldrestore.images.encoding import check_target
from ldrestore.images.files import read_photo, write_photo
from ldrestore.images.formats import LOSSY_FORMATS, SUFFIX_FORMATS
from ldrestore.images.photo import Photo
from ldrestore.jobs.claims import claiming
from ldrestore.jobs.outcome import Job, Result
from ldrestore.jobs.request import RestoreRequest
from ldrestore.pipelines.progress import ReportedSteps, StepReport
from ldrestore.records import record_path, with_file, write_record
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
        place = record_path(job.target)
        if request.has_record and not request.may_overwrite:
            _check_record_place(place)
        output = self.restore(photo)
        write_photo(output.photos[0], job.target, quality=request.quality, overwrite=request.may_overwrite)
        record = output.records[0]
        notes = ()
        if request.has_record:
            is_lossy = SUFFIX_FORMATS[job.target.suffix.lower()] in LOSSY_FORMATS
            record = with_file(record, job.target, quality=request.quality if is_lossy else None)
            notes = _written(record, place)
        return Result(record=record, advice=tuple(output.advice[0]) if output.advice else (), notes=notes)


def _written(record: Any, place: Path) -> tuple[str, ...]:
    """Write a record; what keeps it from being written is noted, for the picture is there."""
    try:
        write_record(record, place)
    except ImageWriteError as error:
        return (str(error),)
    return ()


def _check_record_place(path: Path) -> None:
    """Refuse to replace a file that is not a record of ours; some cameras' albums keep JSON files of that name.

    Raises:
        OutputExistsError: there is such a file.
    """
    try:
        is_record = "ldrestore" in json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError):
        is_record = False
    if not is_record:
        raise OutputExistsError(
            path, "lies where the record belongs, and is none", "move it, or use --no-record or --overwrite"
        )
