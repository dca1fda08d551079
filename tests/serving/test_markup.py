from pathlib import Path

from ldrestore.jobs.outcome import Status
from ldrestore.serving.batches import BatchEntry, BatchState
from ldrestore.serving.markup import batch_table, finished_message, message
from ldrestore.serving.studio import Finished

HOSTILE = '<img src=x onerror="alert(1)">\n.png'


def test_nothing_from_outside_is_markup():
    entries = (
        BatchEntry(name=HOSTILE, status=Status.FAILED, reason=HOSTILE),
        BatchEntry(name="b.png", status=Status.DONE, result=Path(HOSTILE)),
    )
    finished = Finished(
        result=Path(HOSTILE), record={}, before=None, after=None, changes=None, advice=(HOSTILE,), seconds=1.0
    )
    for text in (batch_table(BatchState(entries=entries)), finished_message(finished), message(HOSTILE, tone="bad")):
        assert "<img" not in text and "&lt;img" in text


def test_a_refusal_is_read_out_at_once():
    assert 'role="alert"' in message("no", tone="bad")
    assert 'role="status"' in message("yes")


def test_the_table_tells_how_many_are_done():
    entries = tuple(BatchEntry(name=f"{n}.png", status=Status.DONE if n < 2 else Status.PLANNED) for n in range(3))
    text = batch_table(BatchState(entries=entries))
    assert "2 of 3" in text and 'max="3" value="2"' in text
