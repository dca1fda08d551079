"""What the page says, as HTML; everything that came from outside is escaped here and nowhere else."""

from html import escape
from typing import Literal

from ldrestore.errors import printable
from ldrestore.jobs.outcome import Status
from ldrestore.serving.batches import BatchState
from ldrestore.serving.studio import Finished, Sighting

Tone = Literal["plain", "good", "bad"]

_STATE_WORDS = {
    Status.PLANNED: "waiting",
    Status.RUNNING: "restoring …",
    Status.DONE: "done",
    Status.FAILED: "not done",
    Status.CANCELLED: "cancelled",
    Status.SKIPPED: "skipped",
}


def message(text: str, *, tone: Tone = "plain") -> str:
    """One line on how things stand, which a screen reader reads out."""
    role = "alert" if tone == "bad" else "status"
    return f'<p class="ld-message ld-{tone}" role="{role}">{escape(printable(text))}</p>'


def finished_message(finished: Finished) -> str:
    """What became of a picture."""
    lines = [f"{finished.result.name} is restored, in {finished.seconds:.1f} seconds.", *finished.advice]
    return "".join(message(line, tone="good" if index == 0 else "plain") for index, line in enumerate(lines))


def sighting_message(sighting: Sighting, *, name: str) -> str:
    """What was seen of a picture before it is restored."""
    where = "" if sighting.is_whole else " The bars are of its middle; restoring looks at all of it."
    return message(f"{name}: {sighting.width} × {sighting.height} pixels.{where}")


def batch_table(state: BatchState) -> str:
    """All pictures of a batch with their states."""
    rows = "".join(
        f'<tr class="ld-{entry.status.value}"><td>{escape(printable(entry.name))}</td>'
        f"<td>{_STATE_WORDS[entry.status]}</td>"
        f"<td>{escape(printable(entry.reason or (entry.result.name if entry.result else '')))}</td></tr>"
        for entry in state.entries
    )
    ended = state.count(Status.DONE, Status.FAILED, Status.CANCELLED, Status.SKIPPED)
    failed = state.count(Status.FAILED)
    summary = f"{ended} of {len(state.entries)}" + (f", {failed} not done" if failed else "")
    return (
        f'<p class="ld-message" role="status">{summary}</p>'
        f'<progress class="ld-progress" max="{len(state.entries)}" value="{ended}" '
        'aria-label="Pictures done"></progress>'
        '<div class="ld-scroll" tabindex="0" role="region" aria-label="States of the pictures">'
        '<table class="ld-table"><thead><tr><th scope="col">picture</th><th scope="col">state</th>'
        f'<th scope="col">result, or why not</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
