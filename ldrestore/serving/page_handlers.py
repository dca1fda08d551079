"""What happens when a visitor does something: words of the page to the studio, and its results to words of the page."""

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ldrestore.errors import FULL_ERRORS, InputError, LDRestoreError, RunCancelledError
from ldrestore.serving import markup
from ldrestore.serving.batches import restore_many
from ldrestore.serving.offered_models import find_offered
from ldrestore.serving.painted_masks import write_mask
from ldrestore.serving.studio import Finished, Progress, Sighting, Studio, record_file_of
from ldrestore.serving.visitors import Visitors
from ldrestore.serving.wishes import Wishes

NO_BARS: dict[str, Any] = {"rows": [], "note": "", "told": {}}
NO_PICTURE: dict[str, Any] = {"preview": None, "name": "", "mask": ""}
TOO_MANY = "too many wait just now; nothing was begun and nothing is lost, try again in a while"
DISK_FULL = "the disk of the machine that restores is full; nothing was kept, try again later"


@dataclass(frozen=True, slots=True)
class PageValues:
    """What a visitor has set for one picture, in the order in which the page sends it; nothing is checked yet."""

    upload: str | None
    model: str
    bars: Any  # Any: this and the next are whatever a visitor sends
    painted: Any
    mask: str | None
    fidelity: float
    grain: float
    instruction: str | None
    scale: float
    steps: float


class PageHandlers:
    """The functions that the page's events call."""

    def __init__(self, studio: Studio) -> None:
        """Begin with nobody there.

        Args:
            studio: Does the work.
        """
        self.studio = studio
        self.visitors = Visitors(studio.store)

    def begin(self, request: gr.Request) -> tuple[int, Any, Any, str]:
        """A call begins: its number, Cancel in the place of Restore, and nothing to say yet."""
        return self.visitors.begin(_session(request)), gr.update(visible=False), gr.update(visible=True), ""

    def cancel(self, request: gr.Request) -> str:
        """Call off what the visitor has begun."""
        self.visitors.cancel(_session(request))
        return markup.message("Cancelling …")

    @staticmethod
    def end() -> tuple[Any, Any]:
        """A call has ended, one way or another: Restore is back."""
        return gr.update(visible=True), gr.update(visible=False)

    def end_batch(self) -> tuple[Any, Any, str]:
        """The same for a batch, whose states stand in the table: nothing is said beside it."""
        return *self.end(), ""

    def turn_away(self) -> tuple[Any, Any, str]:
        """A call was refused before it reached us, because too many wait: Restore is back, and the page says so."""
        return *self.end(), self.turn_away_look()

    @staticmethod
    def turn_away_look() -> str:
        """The same for a look: what to do."""
        return markup.message(TOO_MANY, tone="bad")

    def leave(self, request: gr.Request) -> None:
        """A visitor has closed the page."""
        self.visitors.end(_session(request))

    def look(self, upload: str | None, model: str, request: gr.Request) -> tuple[Any, ...]:
        """A picture was dropped, or another model chosen: bars, painter, what the model can be told, and a line.

        Returns:
            Values of the bars, the painter, instruction, steps, the model's line and the status.
        """
        try:
            offered = find_offered(self.studio.models, model)
        except InputError as error:
            return NO_BARS, gr.skip(), gr.skip(), gr.skip(), gr.skip(), markup.message(str(error), tone="bad")
        about = markup.message(offered.summary)
        if upload is None:
            return NO_BARS, NO_PICTURE, gr.update(visible=False), gr.update(visible=False), about, ""
        session = _session(request)
        try:
            path = self._upload(upload)
            folder = self.visitors.new_folder(session, "look")
            sighting = self.studio.look(path, offered, folder)
        except (LDRestoreError, OSError) as error:
            line = markup.message(self._plain(error, upload), tone="bad")
            return NO_BARS, NO_PICTURE, gr.update(visible=False), gr.update(visible=False), about, line
        abilities = sighting.abilities
        steps = gr.update(visible=False)
        if abilities.steps is not None:
            steps = gr.update(visible=True, value=min(abilities.steps, 20))
        return (
            bars_of(sighting),
            {"preview": str(sighting.preview), "name": path.name, "mask": ""},
            gr.update(visible=abilities.takes_instruction),
            steps,
            about,
            markup.sighting_message(sighting, name=path.name),
        )

    @staticmethod
    def begin_look(upload: str | None) -> str:
        """A picture will be looked at, which takes a while: a line that says so."""
        return "" if upload is None else markup.message("Looking at it …")

    def forget(self, upload: str | None, request: gr.Request) -> tuple[Any, ...]:
        """Another picture was dropped, or the last one taken away: what was made of the last one goes.

        Returns:
            Values of the divider, the map of changes, the two downloads, the record, the tabs and the status.
        """
        self.visitors.remove_folder(_session(request), "restored")
        files = _nothing_to_fetch(), _nothing_to_fetch()
        return None, None, *files, None, gr.update(selected="picture"), self.begin_look(upload)

    def restore(
        self,
        call: int,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  gradio finds the bar by it
        *values: Any,  # Any: what a visitor sends
    ) -> tuple[Any, ...]:
        """Restore the picture.

        Args:
            call: Its number.
            request: Of the visitor.
            progress: The bar.
            values: Those of `PageValues`, in their order.

        Returns:
            Values of the divider, the map of changes, the two downloads, the record, the tabs and the status.
        """
        session = _session(request)
        is_cancelled = functools.partial(self.visitors.is_cancelled, session, call)
        nothing = (gr.skip(),) * 6
        page = PageValues(*values)
        if page.upload is None:
            return *nothing, markup.message("Drop a picture first.", tone="bad")
        try:
            if is_cancelled():  # or gone, while the call waited
                raise RunCancelledError("cancelled before it began")
            path = self._upload(page.upload)
            folder = self.visitors.new_folder(session, "restoring")
            wishes = Wishes(
                model=find_offered(self.studio.models, page.model),
                fidelity=page.fidelity,
                grain=page.grain,
                instruction=page.instruction or "",
                degradations=_moved_bars(page.bars),
                protect=self._mask(page.painted, page.mask, path, folder),
                scale=_whole(page.scale),
                steps=_whole(page.steps),
            )
            finished = self.studio.restore(
                path, wishes, folder, progress=_progress_of(progress), is_cancelled=is_cancelled
            )
        except RunCancelledError as error:
            return *nothing, markup.message(f"{error}.".capitalize())
        except (LDRestoreError, OSError) as error:
            return *nothing, markup.message(self._plain(error, page.upload), tone="bad")
        self.visitors.keep_folder(session, "restoring", as_purpose="restored")
        return (
            (str(finished.before), str(finished.after)),
            None if finished.changes is None else str(finished.changes),
            gr.update(value=str(finished.result), interactive=True),
            gr.update(value=_record_file(finished), interactive=True),
            finished.record,
            gr.update(selected="compare"),
            markup.finished_message(finished),
        )

    def restore_batch(
        self,
        call: int,
        uploads: list[str] | None,
        model: str,
        fidelity: float,
        grain: float,
        scale: float,
        request: gr.Request,
    ) -> Iterator[tuple[Any, Any]]:
        """Restore many pictures.

        Yields:
            The table of states, and the download of the zip.
        """
        session = _session(request)
        if not uploads:
            yield markup.message("Drop some pictures first.", tone="bad"), gr.skip()
            return
        is_cancelled = functools.partial(self.visitors.is_cancelled, session, call)
        if is_cancelled():  # or gone, while the call waited
            yield markup.message("Cancelled before it began."), _nothing_to_fetch()
            return
        try:
            paths = [self._upload(upload) for upload in uploads]
            wishes = Wishes(
                model=find_offered(self.studio.models, model), fidelity=fidelity, grain=grain, scale=_whole(scale)
            )
            folder = self.visitors.new_folder(session, "batch")
            for state in restore_many(self.studio, paths, wishes, folder, is_cancelled=is_cancelled):
                archive = gr.update(value=str(state.archive), interactive=True) if state.archive else None
                yield markup.batch_table(state), archive or _nothing_to_fetch()
        except (LDRestoreError, OSError) as error:
            yield markup.message(self._plain(error, None), tone="bad"), _nothing_to_fetch()

    def call_restore(
        self,
        picture: str | None,
        model: str,
        fidelity: float,
        instruction: str,
        degradations: str,
        mask: str | None,
        scale: float,
        steps: float | None,
        grain: float = 0,
    ) -> tuple[str, dict[str, Any]]:
        """`/restore` of the HTTP interface.

        Returns:
            The restored file, and its record.

        Raises:
            Error: in plain words, why not.
        """
        if picture is None:
            raise gr.Error("send a picture: upload it first, then name its path", print_exception=False)
        folder: Path | None = None
        try:
            folder = self.studio.store.new_folder()
            wishes = Wishes(
                model=find_offered(self.studio.models, model),
                fidelity=fidelity,
                grain=grain,
                instruction=instruction,
                degradations=degradations,
                protect=None if mask is None else self._upload(mask),
                scale=_whole(scale),
                steps=None if steps is None else _whole(steps),
            )
            finished = self.studio.restore(self._upload(picture), wishes, folder, shows=False)
        except (LDRestoreError, OSError) as error:
            if folder is not None:
                self.studio.store.remove(folder)
            raise gr.Error(self._plain(error, picture), print_exception=False) from error
        return str(finished.result), dict(finished.record)

    def call_look(self, picture: str | None, model: str) -> dict[str, float]:
        """`/estimate` of the HTTP interface.

        Returns:
            What is wrong with the picture, name to probability.

        Raises:
            Error: in plain words, why not.
        """
        if picture is None:
            raise gr.Error("send a picture: upload it first, then name its path", print_exception=False)
        try:
            offered = find_offered(self.studio.models, model)
            folder = self.studio.store.new_folder()
            try:
                return dict(self.studio.look(self._upload(picture), offered, folder).estimate)
            finally:
                self.studio.store.remove(folder)
        except (LDRestoreError, OSError) as error:
            raise gr.Error(self._plain(error, picture), print_exception=False) from error

    def call_models(self) -> list[dict[str, str]]:
        """`/models` of the HTTP interface: names and summaries."""
        return [{"name": model.name, "summary": model.summary} for model in self.studio.models.values()]

    def _upload(self, upload: str) -> Path:
        """An upload's file, which lives anew from now on.

        Raises:
            InputError: it is none.
        """
        path = self.studio.store.checked(upload)
        self.studio.store.touch(path)
        return path

    def _mask(self, painted: Any, mask: str | None, picture: Path, folder: Path) -> Path | None:
        """The mask's file; one that was sent counts before one that was painted.

        Raises:
            InputError: it is no mask.
        """
        if mask is not None:
            return self._upload(mask)
        text = painted.get("mask") if isinstance(painted, dict) else None
        return write_mask(text, picture, folder) if text else None

    def _plain(self, error: Exception, upload: str | None) -> str:
        """An error in words for a visitor; of many pictures it is of none, and upload is None."""
        if isinstance(error, OSError) and not isinstance(error, LDRestoreError):
            return DISK_FULL if error.errno in FULL_ERRORS else f"the file could not be kept ({error.strerror})"
        path = Path(upload or "")
        return self.studio.without_places(str(error), path, path.name) if path.name else str(error)


def bars_of(sighting: Sighting) -> dict[str, Any]:
    """The value of the bars: rows, what was told so far, and a note."""
    rows = [
        {"name": name, "seen": round(share, 3), "canBeTold": name in sighting.tellable}
        for name, share in sighting.estimate.items()
    ]
    if not rows:
        note = "This model does not say what it sees."
    elif sighting.tellable:
        note = "What the model sees. Move a bar to say it better: that steers the model."
    else:
        note = "What the model sees. This one decides by itself; default can be told."
    return {"rows": rows, "note": note, "told": {}}


def _nothing_to_fetch() -> Any:  # Any: as gradio has it
    """For a download whose file is not there, or not yet."""
    return gr.update(value=None, interactive=False)


def _moved_bars(bars: Any) -> dict[str, float] | None:
    """The bars that were moved.

    Raises:
        InputError: the value is not one of the page's.
    """
    strengths = bars.get("told") if isinstance(bars, dict) else None
    if strengths is not None and not isinstance(strengths, dict):
        raise InputError("the bars are not what the page makes of them; load the page again")
    return strengths or None


def _whole(value: Any) -> Any:
    """A number of a slider as a whole one, where it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _session(request: gr.Request) -> str:
    """Gradio's name of an open page; calls without one share a name."""
    return request.session_hash or "nobody"


def _record_file(finished: Finished) -> str | None:
    """The record's file, to download."""
    path = record_file_of(finished.result)
    return None if path is None else str(path)


def _progress_of(progress: gr.Progress) -> Progress:
    """What the studio tells, as gradio's bar shows it; without a share it shows that it works, and for how long."""

    def tell(share: float | None, text: str) -> None:
        progress(share, desc=text)

    return tell


def sweep_now_and_then(handlers: PageHandlers, stopped: threading.Event, *, every: float = 60.0) -> None:
    """Remove what nobody has used for a while, until the page stops.

    Args:
        handlers: Of the page.
        stopped: Set when it stops.
        every: Seconds between two times.
    """
    while not stopped.wait(every):
        handlers.studio.store.sweep(handlers.studio.settings.keep_seconds)
