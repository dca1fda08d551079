"""What the driver of a run on Ray knows of its workers, as far as it hangs on no cluster."""

import time

import pytest

from ldrestore.errors import InputError
from ldrestore.serving.ray_crew import RunBook, timed, workers_waited_for


def test_a_book_knows_where_a_worker_is_and_whether_it_is_at_a_picture():
    book = RunBook()
    book.arrive("first", "here", None)
    assert book.begin("first", "a.png") == 0 and book.workers()["first"].is_busy
    book.finish("first")
    assert not book.workers()["first"].is_busy
    book.begin("first", "b.png")
    book.arrive("first", "there", None)  # it died at it, and begins anew
    assert not book.workers()["first"].is_busy and book.workers()["first"].node == "there"
    assert book.begin("first", "b.png") == 1
    book.forget(["first"])
    assert book.workers() == {}


def test_lost_workers_are_waited_for_only_once_the_others_have_nothing_to_do():
    book = RunBook()
    for worker, node in (("first", "here"), ("second", "there")):
        book.arrive(worker, node, None)
        book.begin(worker, f"{worker}.png")
    assert workers_waited_for(book.workers(), {"here", "there"}) == []
    assert workers_waited_for(book.workers(), {"here"}) == []
    book.finish("first")
    assert workers_waited_for(book.workers(), {"here"}) == ["second"]
    assert workers_waited_for(book.workers(), {"here", "there"}) == []


def test_rows_come_as_they_are_and_nothing_while_there_is_none():
    def rows():
        yield {"job": 1}
        time.sleep(0.3)
        yield {"job": 2}

    drawn = list(timed(rows(), 0.05))
    assert [row for row in drawn if row is not None] == [{"job": 1}, {"job": 2}]
    assert None in drawn[1:-1]


def test_what_rows_raise_is_raised():
    def rows():
        yield {"job": 1}
        raise InputError("no such thing")

    drawn = timed(rows(), 5.0)
    assert next(drawn) == {"job": 1}
    with pytest.raises(InputError, match="no such thing"):
        next(drawn)
