from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from ldrestore.images.files import read_photo
from ldrestore.serving.page_handlers import NO_BARS, NO_PICTURE, PageHandlers, bars_of

VISITOR = SimpleNamespace(session_hash="ann")


@pytest.fixture
def handlers(make_studio):
    return PageHandlers(make_studio())


def restored(handlers, upload, call=None, **changes):
    """What the page shows after Restore: divider, map of changes, downloads, record, tabs, status."""
    given = {
        "model": "tiny",
        "bars": NO_BARS,
        "painted": NO_PICTURE,
        "mask": None,
        "fidelity": 0,
        "grain": 0,
        "instruction": "",
        "scale": 1,
        "steps": 20,
    } | changes
    call = handlers.begin(VISITOR)[0] if call is None else call
    return handlers.restore(call, VISITOR, lambda share, desc: None, upload, *given.values())


def test_a_dropped_picture_is_seen_and_the_model_described(handlers, send):
    bars, painter, instruction, steps, about, status = handlers.look(str(send(handlers.studio)), "sampler", VISITOR)
    assert {row["name"] for row in bars["rows"]} == {"rain", "haze", "jpeg"}
    assert all(row["canBeTold"] for row in bars["rows"])
    assert read_photo(painter["preview"]).width == 24
    assert (instruction["visible"], steps["visible"], steps["value"]) == (False, True, 20)
    assert "a model of yours" in about and "24 × 20 pixels" in status


def test_a_picture_that_was_taken_away_clears_the_page(handlers):
    assert handlers.look(None, "tiny", VISITOR)[:2] == (NO_BARS, NO_PICTURE)


def test_a_restored_picture_comes_with_its_record_and_both_downloads(handlers, send):
    compare, changes, download, record_file, record, tabs, status = restored(
        handlers, str(send(handlers.studio, "b.png")), fidelity=1.0, grain=0.5
    )
    before, after = (read_photo(path).pixels for path in compare)
    assert np.array_equal(before, after)  # a fidelity of 1
    assert not read_photo(changes).pixels[:20, 208:232].any()  # nothing changed is black
    assert download["value"].endswith("b.png") and record_file["value"].endswith("b.png.json")
    assert (record["options"]["fidelity"], record["options"]["keep_grain"]) == (1.0, 0.5)
    assert tabs["selected"] == "compare" and "b.png is restored" in status


def test_another_result_takes_the_place_of_the_last(handlers, send):
    upload = str(send(handlers.studio))
    first = restored(handlers, upload)[2]["value"]
    second = restored(handlers, upload)[2]["value"]
    handlers.leave(VISITOR)
    for path in (first, second):
        with pytest.raises(OSError, match="no such file"):
            read_photo(path)


def test_a_result_stays_to_be_fetched_when_the_next_try_comes_to_nothing(handlers, send):
    upload = str(send(handlers.studio))
    result = restored(handlers, upload)[2]["value"]
    call = handlers.begin(VISITOR)[0]
    handlers.cancel(VISITOR)
    restored(handlers, upload, call)
    restored(handlers, upload, scale=99)
    assert read_photo(result).width == 24


def test_another_picture_takes_the_last_result_away(handlers, send):
    result = restored(handlers, str(send(handlers.studio)))[2]["value"]
    compare, changes, download, record_file, record, tabs, status = handlers.forget("other.png", VISITOR)
    assert "Looking" in status
    assert (compare, changes, record, tabs["selected"]) == (None, None, None, "picture")
    assert [(one["value"], one["interactive"]) for one in (download, record_file)] == [(None, False)] * 2
    with pytest.raises(OSError, match="no such file"):
        read_photo(result)
    assert handlers.forget(None, VISITOR)[-1] == ""


def test_moved_bars_steer(handlers, send):
    upload = str(send(handlers.studio))
    record = restored(handlers, upload, model="sampler", steps=2, bars={"told": {"rain": 0.4}})[4]
    assert record["options"]["degradations"]["rain"] == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "../tiny"}, "unknown model"),
        ({"bars": {"told": "all"}}, "load the page again"),
        ({"bars": {"told": {"<b>": 1}}}, "takes no"),
        ({"painted": {"mask": "data:,x"}}, "paint again"),
        ({"mask": "/etc/passwd"}, "send the picture itself"),
        ({"instruction": "a" * 10_000}, "10000 characters"),
        ({"scale": 99}, "scale must be"),
    ],
)
def test_refusals_are_plain_and_no_markup(handlers, send, changes, words):
    *values, status = restored(handlers, str(send(handlers.studio)), **changes)
    assert words in status and 'role="alert"' in status and "<b>" not in status
    assert values == [gr.skip()] * 6


def test_nothing_dropped_and_something_else_than_an_upload(handlers):
    assert "Drop a picture first" in restored(handlers, None)[-1]
    assert "send the picture" in restored(handlers, "/etc/passwd")[-1]


def test_what_was_cancelled_before_it_began_does_not_begin(handlers, send):
    call = handlers.begin(VISITOR)[0]
    handlers.cancel(VISITOR)
    assert "Cancelled" in restored(handlers, str(send(handlers.studio)), call)[-1]
    assert "is restored" in restored(handlers, str(send(handlers.studio)))[-1]


def test_a_full_disk_is_told_in_plain_words(handlers, send, monkeypatch):
    def full(*words, **options):
        raise OSError(28, "No space left on device")

    upload = str(send(handlers.studio))
    monkeypatch.setattr(handlers.studio.store, "new_folder", full)
    assert "the disk of the machine that restores is full" in restored(handlers, upload)[-1]
    with pytest.raises(gr.Error, match="disk of the machine"):
        handlers.call_restore(upload, "tiny", 0, "", "", None, 1, None)


def test_a_batch_shows_its_states_and_gives_a_zip(handlers, send):
    uploads = [str(send(handlers.studio, f"{seed}.png", seed=seed)) for seed in range(2)]
    states = list(handlers.restore_batch(handlers.begin(VISITOR)[0], uploads, "tiny", 0, 0, 1.0, VISITOR))
    assert "restoring …" in states[0][0]
    assert "2 of 2" in states[-1][0] and states[-1][1]["value"].endswith("restored.zip")
    assert not states[0][1]["interactive"]  # the zip of the batch before is gone
    (line,) = handlers.restore_batch(handlers.begin(VISITOR)[0], [], "tiny", 0, 0, 1, VISITOR)
    assert "Drop some pictures first" in line[0]


def test_nothing_is_said_beside_the_states_of_a_batch_that_has_ended(handlers):
    assert "Cancelling" in handlers.cancel(VISITOR)
    go, stop, line = handlers.end_batch()
    assert (go["visible"], stop["visible"], line) == (True, False, "")


def test_bars_say_whether_they_can_be_moved(handlers, send):
    studio = handlers.studio
    folder = studio.store.new_folder()
    assert "does not say what it sees" in bars_of(studio.look(send(studio), studio.models["tiny"], folder))["note"]
    assert "Move a bar" in bars_of(studio.look(send(studio), studio.models["sampler"], folder))["note"]


def test_the_interface_answers_without_a_page(handlers, send):
    result, record = handlers.call_restore(str(send(handlers.studio)), "tiny", 0, "", "", None, 1, None)
    assert read_photo(result).width == 24 and record["model"]
    assert handlers.call_look(str(send(handlers.studio)), "tiny") == {}
    assert "tiny" in {model["name"] for model in handlers.call_models()}
    with pytest.raises(gr.Error, match="send a picture"):
        handlers.call_restore(None, "tiny", 0, "", "", None, 1, None)
