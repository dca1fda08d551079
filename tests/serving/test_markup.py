from pathlib import Path

import pytest

from ldrestore.jobs.outcome import Status
from ldrestore.serving.batches import BatchEntry, BatchState
from ldrestore.serving.markup import batch_table, finished_message, message, sighting_message
from ldrestore.serving.studio import Abilities, Finished, Sighting

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


def test_names_that_are_no_text_are_shown_by_their_bytes() -> None:
    name = "caf\udce9\x1b[31m\u202e.png"
    entry = BatchEntry(name=name, status=Status.FAILED, reason=f"{name}: no")
    text = batch_table(BatchState(entries=(entry,)))
    assert text.count("caf\\xe9\\x1b[31m\\u202e.png") == 2
    assert text.isprintable() and text.encode()


@pytest.mark.parametrize("status", list(Status))
def test_every_state_has_a_word(status) -> None:
    text = batch_table(BatchState(entries=(BatchEntry(name="a.png", status=status),)))
    word = text.partition("</td><td>")[2].partition("</td>")[0]
    assert word and f'<tr class="ld-{status.value}">' in text
    assert ("1 of 1" in text) == (status in (Status.DONE, Status.FAILED, Status.CANCELLED, Status.SKIPPED))


def test_the_bar_of_a_batch_ends_full_whatever_became_of_the_pictures() -> None:
    states = (Status.DONE, Status.FAILED, Status.CANCELLED)
    text = batch_table(BatchState(entries=tuple(BatchEntry(name="a", status=status) for status in states)))
    assert "3 of 3, 1 not done" in text and 'max="3" value="3"' in text


def test_a_look_at_the_middle_says_so() -> None:
    def line(**changes):
        facts = {
            "estimate": {},
            "tellable": frozenset(),
            "is_whole": True,
            "abilities": Abilities(takes_instruction=False, steps=None),
            "width": 30,
            "height": 20,
            "preview": Path("p.png"),
        }
        return sighting_message(Sighting(**facts | changes), name=HOSTILE)

    assert "30 × 20 pixels" in line() and "middle" not in line()
    assert "The bars are of its middle" in line(is_whole=False)
    assert "<img" not in line() and "&lt;img" in line()
