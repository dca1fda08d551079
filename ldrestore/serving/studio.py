"""What the page does with pictures, without the page: look at one, restore one, restore many."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldrestore.errors import ImageTooLargeError, InputError, LDRestoreError, RunCancelledError
from ldrestore.explanations.picture_part import cut, middle_part
from ldrestore.images.files import head_of, read_photo
from ldrestore.images.formats import HEIF_SUFFIXES, SUFFIX_FORMATS, format_of
from ldrestore.images.headers import read_size
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.jobs.plan import target_name
from ldrestore.jobs.restoring import RestoreWorker, changes_path
from ldrestore.jobs.runner import run_jobs
from ldrestore.options import make_options
from ldrestore.records import record_path
from ldrestore.registry import resolve
from ldrestore.serving.device_workers import DevicePool, DeviceWorker
from ldrestore.serving.offered_models import OfferedModel, find_offered, offered_models
from ldrestore.serving.previews import COMPARED_SIDE, PAINTED_SIDE, write_preview
from ldrestore.serving.settings import PageSettings
from ldrestore.serving.temporary_store import TemporaryStore, safe_name
from ldrestore.serving.wishes import Wishes, request_of
from ldrestore.tracks import checked_options, options_class_of, track_of

Progress = Callable[[float | None, str], None]
"""Is told a share in [0, 1], None where nobody knows one, and what is being done."""


def never() -> bool:
    """For work that nobody can call off."""
    return False


def unheard(share: float | None, text: str) -> None:
    """For work whose progress nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a model can be told."""

    takes_instruction: bool
    """Whether it reads instructions."""
    steps: int | None
    """How many steps it takes unasked; None where it does not sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What a model sees in a picture before it restores it."""

    estimate: Mapping[str, float]
    """Name to probability, the surest first; empty from models that estimate nothing."""
    tellable: frozenset[str]
    """Names of which the model can be told how strongly to treat them."""
    is_whole: bool
    """Whether all of the picture was looked at, and not its middle alone."""
    abilities: Abilities
    """Of the model."""
    width: int
    """Of the picture, in pixels."""
    height: int
    """Of the picture, in pixels."""
    preview: Path
    """What to paint a mask upon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A restored picture, and what there is to show of it."""

    result: Path
    """The file to download, as the command would have written it."""
    record: Mapping[str, Any]
    """How it was made."""
    before: Path | None
    """The input, to be looked at; None where nobody looks."""
    after: Path | None
    """The result, to be looked at, of the same size."""
    changes: Path | None
    """A map of what was changed."""
    advice: tuple[str, ...]
    """What the model does not change unasked."""
    seconds: float
    """That the picture took, without the waiting."""


class Studio:
    """Settings, models, devices and the folder of one page."""

    def __init__(self, settings: PageSettings, *, parent: Path | None = None) -> None:
        """Load nothing yet.

        Args:
            settings: Of the page.
            parent: Where its folder is made; None for the system's place for temporary files.

        Raises:
            ConfigError: the folder of models holds none.
            UnknownNameError: the model to begin with is not offered.
        """
        self.settings = settings
        self.models = offered_models(settings.models_folder)
        find_offered(self.models, settings.first_model)
        self.devices = DevicePool(settings.devices)
        self.store = TemporaryStore(parent)

    def look(
        self, upload: Path, model: OfferedModel, folder: Path, *, is_cancelled: Callable[[], bool] = never
    ) -> Sighting:
        """See what is wrong with a picture, by a pass over its middle.

        Args:
            upload: The picture's file.
            model: Looks at it.
            folder: Of the store; the preview goes there.
            is_cancelled: Asked while waiting for a device.

        Raises:
            LDRestoreError: the picture cannot be read, or the model cannot be had.
        """
        with self.store.holding(folder), self.devices.worker(is_cancelled) as worker:
            request = request_of(Wishes(model=model), self.settings, device=worker.device)
            self._check_size(upload, request.options.scale)
            photo = read_photo(upload, max_pixels=self.settings.max_pixels)
            pipeline = worker.pipeline(request)
            options_class = options_class_of(track_of(pipeline))
            abilities = _abilities_of(pipeline)
            fewest = {} if abilities.steps is None else {"num_inference_steps": 1}
            options = make_options(options_class, fewest, owner="the model")
            looker = RestoreWorker(
                dataclasses.replace(request, options=options),
                pipeline=pipeline,
                on_step=lambda done, total: _check(is_cancelled),
            )
            part = middle_part(photo)
            (estimate,) = looker.restore(cut(photo, part)).degradations
            return Sighting(
                estimate=dict(estimate.ranked()),
                tellable=frozenset(name for name in estimate if _takes(pipeline, options, name)),
                is_whole=part.is_whole,
                abilities=abilities,
                width=photo.width,
                height=photo.height,
                preview=write_preview(photo, folder / "preview", longest=PAINTED_SIDE),
            )

    def restore(
        self,
        upload: Path,
        wishes: Wishes,
        folder: Path,
        *,
        name: str | None = None,
        shows: bool = True,
        progress: Progress = unheard,
        is_cancelled: Callable[[], bool] = never,
    ) -> Finished:
        """Restore one picture as the command does, and make what there is to show of it.

        Args:
            upload: The picture's file.
            wishes: What is asked.
            folder: Of the store; everything goes there.
            name: Of the result; None for the upload's.
            shows: Whether there is somebody to look at it.
            progress: Is told how far it is.
            is_cancelled: Asked while waiting, and at each step.

        Raises:
            LDRestoreError: the picture cannot be read, restored or written, or was called off.
        """
        with self.store.holding(folder), self.devices.worker(is_cancelled) as worker:
            progress(0.0, "reading")
            outcome = self.run(
                worker,
                upload,
                wishes,
                folder / "result",
                name=name,
                has_changes=shows,
                progress=progress,
                is_cancelled=is_cancelled,
            )
            if outcome.status is Status.CANCELLED:
                raise RunCancelledError("cancelled; nothing was kept of it")
            if outcome.status is not Status.DONE:
                raise LDRestoreError(outcome.reason or "the picture could not be restored")
            progress(1.0, "drawing")
            target = outcome.job.target
            return Finished(
                result=target,
                record=outcome.record or {},
                before=self._compared(upload, folder / "before", enlarged=int(wishes.scale)) if shows else None,
                after=self._compared(target, folder / "after") if shows else None,
                changes=_existing(changes_path(target)),
                advice=outcome.advice,
                seconds=outcome.seconds,
            )

    def run(
        self,
        worker: DeviceWorker,
        upload: Path,
        wishes: Wishes,
        folder: Path,
        *,
        name: str | None = None,
        has_changes: bool = False,
        progress: Progress = unheard,
        is_cancelled: Callable[[], bool] = never,
    ) -> Outcome:
        """Restore one picture on a device that is ours; what goes wrong is in the outcome.

        Args:
            worker: The device.
            upload: The picture's file.
            wishes: What is asked.
            folder: Result and record go there.
            name: Of the result; None for the upload's.
            has_changes: Whether a map of what was changed is made.
            progress: Is told how far it is.
            is_cancelled: Asked at each step.
        """
        start = time.perf_counter()
        job = Job(source=upload, target=folder / result_name(name or upload.name, upload), name=name or upload.name)

        def on_step(done: int, total: int) -> None:
            _check(is_cancelled)
            if total > 1:
                progress(done / total, f"restoring, {done} of {total}")
            else:
                progress(None, "restoring")  # a single step is at no share until all is done

        try:
            request = request_of(wishes, self.settings, device=worker.device)
            self._check_size(upload, request.options.scale)
            request = dataclasses.replace(request, has_changes=has_changes)
            restorer = RestoreWorker(request, pipeline=worker.pipeline(request), on_step=on_step)
        except RunCancelledError as error:
            return Outcome(job=job, status=Status.CANCELLED, reason=str(error))
        except LDRestoreError as error:
            reason = self.without_places(str(error), upload, job.name)
            return Outcome(job=job, status=Status.FAILED, reason=reason, error=type(error).__name__)
        (outcome,) = run_jobs([job], restorer)
        plain = None if outcome.reason is None else self.without_places(outcome.reason, upload, job.name)
        return dataclasses.replace(outcome, reason=plain, seconds=time.perf_counter() - start)

    def without_places(self, text: str, upload: Path, name: str) -> str:
        """A message that names the picture as the visitor does, and nothing of this machine's folders."""
        for place, plain in ((str(upload), name), (f"{upload.parent}/", ""), (f"{self.store.root}/", "")):
            text = text.replace(place, plain)
        return text

    def close(self) -> None:
        """Remove the folder with everything in it."""
        self.store.close()

    def _check_size(self, upload: Path, scale: int) -> None:
        """Refuse what the page does not take, by the header.

        Raises:
            ImageFileError: it is no picture, or too large.
            InputError: its result would be too large.
        """
        width, height = read_size(upload)
        if width * height > self.settings.max_pixels:
            raise ImageTooLargeError(
                upload,
                f"has {width * height:,} pixels, at most {self.settings.max_pixels:,} are taken here",
                "send a smaller picture, or use the command on your own machine",
            )
        if width * height * scale**2 > self.settings.max_result_pixels:
            raise InputError(
                f"enlarged {scale} times the result would have {width * height * scale**2:,} pixels, at most "
                f"{self.settings.max_result_pixels:,} are made here; enlarge it less"
            )

    def _compared(self, path: Path, place: Path, *, enlarged: int = 1) -> Path:
        """A preview of a file for the divider."""
        photo = read_photo(path, max_pixels=self.settings.max_result_pixels)
        return write_preview(photo, place, longest=COMPARED_SIDE, enlarged=enlarged)


def result_name(name: str, upload: Path) -> str:
    """Name of a result: the upload's, made safe, with the suffix of its content where it has none that can be written.

    Raises:
        ImageFileError: the upload is no picture.
    """
    plain = safe_name(name)
    suffix = Path(plain).suffix.lower()
    if suffix not in SUFFIX_FORMATS and suffix not in HEIF_SUFFIXES:
        file_format = format_of(head_of(upload))
        plain += next((end for end, kind in SUFFIX_FORMATS.items() if kind == file_format), ".png")
    return str(target_name(Path(plain), None))


def record_file_of(result: Path) -> Path | None:
    """The file of a result's record, where there is one."""
    return _existing(record_path(result))


def _existing(path: Path) -> Path | None:
    """A file, where there is one."""
    return path if path.is_file() else None


def _check(is_cancelled: Callable[[], bool]) -> None:
    """End the picture where it was called off.

    Raises:
        RunCancelledError: it was.
    """
    if is_cancelled():
        raise RunCancelledError("cancelled; nothing was kept of it")


def _abilities_of(pipeline: Any) -> Abilities:
    """What a loaded model can be told."""
    facts = track_of(pipeline).facts
    known = {} if facts is None else resolve(facts)(pipeline)
    steps = known.get("sampling", {}).get("steps")
    return Abilities(takes_instruction=known.get("instructions") is not None, steps=steps)


def _takes(pipeline: Any, options: Any, name: str) -> bool:
    """Whether a model can be told how strongly to treat a degradation."""
    try:
        checked_options(pipeline, dataclasses.replace(options, degradations={name: 1.0}))
    except InputError:
        return False
    return True
