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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": 2.5}, "scale must be a whole number, got 2.5"),
        ({"scale": 1e300}, "scale must be a number in [1, 8]"),
        ({"scale": -1}, "scale must be a number in [1, 8]"),
        ({"scale": None}, "scale must be a number in [1, 8], got None"),
        ({"scale": "2"}, "scale must be a number"),
        ({"model": "sampler", "steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"model": "sampler", "steps": 0}, "steps must be a number in [1, 1000]"),
        ({"model": "sampler", "steps": "many"}, "steps must be a number"),
        ({"model": None}, "unknown model"),
        ({"model": ["tiny"]}, "unknown model"),
        ({"model": "m" * 10_000}, "unknown model"),
        ({"fidelity": None}, "fidelity must be a number"),
        ({"fidelity": [0.5]}, "fidelity must be a number"),
        ({"grain": float("nan")}, "grain must be a number"),
        ({"instruction": 5}, "the instruction must be text"),
        ({"bars": {"told": ["rain"]}}, "load the page again"),
        ({"bars": {"told": {"rain": 1e9}}}, "rain must be a number in [0, 1]"),
        ({"bars": {"told": {str(number): 1.0 for number in range(200)}}}, "degradations must be text"),
        ({"painted": {"mask": "data:image/png;base64,é"}}, "paint again"),
        ({"painted": {"mask": 17}}, "paint again"),
        ({"mask": ""}, "send the picture"),
        ({"mask": "a\0b"}, "send the picture"),
    ],
)
def test_each_kind_of_wrong_value_has_an_answer_of_its_own(handlers, send, changes, words) -> None:
    *values, status = restored(handlers, str(send(handlers.studio)), **changes)
    assert words.replace("'", "&#x27;") in status and 'role="alert"' in status
    assert values == [gr.skip()] * 6 and len(status) < 500


def test_values_of_the_page_that_mean_nothing_change_nothing(handlers, send) -> None:
    upload = str(send(handlers.studio))
    plain = restored(handlers, upload)[4]["output_sha256"]
    for changes in ({"bars": None}, {"bars": "all"}, {"painted": None}, {"painted": [1]}, {"instruction": None}):
        assert restored(handlers, upload, **changes)[4]["output_sha256"] == plain


def test_a_mask_of_another_picture_is_refused_in_plain_words(handlers, send) -> None:
    studio = handlers.studio
    small, text = send(studio, "mask.png", height=8, width=8), studio.store.new_folder() / "mask.png"
    text.write_text("no picture")
    size = restored(handlers, str(send(studio)), mask=str(small))[-1]
    content = restored(handlers, str(send(studio)), mask=str(text))[-1]
    assert "a mask must have its picture&#x27;s size, 24x20, got 8x8" in size
    assert "not a picture" in content
    assert str(studio.store.root) not in size + content


@pytest.mark.parametrize("trick", ["folder", "link", "", ".", "..", "a\0b", "gone.png"])
def test_what_is_no_upload_is_refused_by_every_call(handlers, send, trick) -> None:
    inside = send(handlers.studio)
    inside.with_name("link").symlink_to(inside)
    upload = {"folder": str(inside.parent), "link": str(inside.with_name("link"))}.get(trick, trick)
    answers = [
        restored(handlers, upload)[-1],
        handlers.look(upload, "tiny", VISITOR)[-1],
        list(handlers.restore_batch(handlers.begin(VISITOR)[0], [upload], "tiny", 0, 0, 1, VISITOR))[-1][0],
    ]
    for answer in answers:
        assert "send the picture" in answer and 'role="alert"' in answer
    for call in (
        lambda: handlers.call_restore(upload, "tiny", 0, "", "", None, 1, None),
        lambda: handlers.call_look(upload, "tiny"),
    ):
        with pytest.raises(gr.Error, match="send the picture"):
            call()


def test_a_look_says_why_it_saw_nothing(handlers, make_studio, send) -> None:
    broken = handlers.studio.store.new_folder() / "<i>x.png"
    broken.write_bytes(b"no picture")
    bars, painter, *_, status = handlers.look(str(broken), "tiny", VISITOR)
    assert (bars, painter) == (NO_BARS, NO_PICTURE)
    assert "not a picture" in status and "<i>" not in status and str(handlers.studio.store.root) not in status
    assert "unknown model" in handlers.look(str(broken), "nobody", VISITOR)[-1]
    small = PageHandlers(make_studio(max_pixels=100))
    giant = small.look(str(send(small.studio)), "tiny", VISITOR)[-1]
    assert "at most 100 are taken here" in giant and "--max-pixels" not in giant  # a visitor has no command line


def test_a_batch_that_is_refused_says_so_whole(handlers, make_studio, send, tmp_path) -> None:
    upload, secret = str(send(handlers.studio)), tmp_path / "secret.v2.png"
    secret.write_bytes(b"x")
    call = handlers.begin(VISITOR)[0]
    (path,) = handlers.restore_batch(call, [upload, str(secret)], "tiny", 0, 0, 1, VISITOR)
    (model,) = handlers.restore_batch(call, [upload], "../tiny", 0, 0, 1, VISITOR)
    few = PageHandlers(make_studio(max_batch=1))
    sent = [str(send(few.studio)) for _ in range(2)]
    (number,) = few.restore_batch(few.begin(VISITOR)[0], sent, "tiny", 0, 0, 1, VISITOR)
    assert "secret.v2.png is no upload; send the picture itself" in path[0]
    assert "unknown model &#x27;../tiny&#x27;" in model[0]
    assert "a batch takes 1 to 1 pictures, got 2" in number[0]
    assert all(not download["interactive"] for _, download in (path, model, number))


def test_a_wrong_wish_fails_each_picture_of_a_batch_by_its_name(handlers, send) -> None:
    uploads = [str(send(handlers.studio, name)) for name in ("a.png", "b.png")]
    *_, (table, download) = handlers.restore_batch(handlers.begin(VISITOR)[0], uploads, "tiny", 1.5, 0, 1, VISITOR)
    assert table.count("fidelity must be a number in [0, 1], got 1.5") == 2
    assert "2 of 2, 2 not done" in table and not download["interactive"]


def test_who_left_while_waiting_is_worked_for_no_more(handlers, send) -> None:
    upload = str(send(handlers.studio))
    call = handlers.begin(VISITOR)[0]
    handlers.leave(VISITOR)
    before = sorted(handlers.studio.store.root.iterdir())
    assert "Cancelled before it began" in restored(handlers, upload, call)[-1]
    (line,) = handlers.restore_batch(call, [upload], "tiny", 0, 0, 1, VISITOR)
    assert "Cancelled before it began" in line[0]
    assert sorted(handlers.studio.store.root.iterdir()) == before  # nothing was made for them
    assert handlers.visitors.is_cancelled("ann", call + 1)  # and nobody remembers them


def test_calls_that_come_to_nothing_leave_nothing(handlers, send) -> None:
    broken = handlers.studio.store.new_folder() / "x.png"
    broken.write_bytes(b"no picture")
    before = sorted(handlers.studio.store.root.iterdir())
    for picture, model in ((broken, "tiny"), (broken, "nobody"), ("/etc/passwd", "tiny")):
        with pytest.raises(gr.Error):
            handlers.call_restore(str(picture), model, 0, "", "", None, 1, None)
        with pytest.raises(gr.Error):
            handlers.call_look(str(picture), model)
    assert sorted(handlers.studio.store.root.iterdir()) == before


def test_a_disk_that_fills_while_a_batch_is_packed_is_told(handlers, send, monkeypatch) -> None:
    def full(*words, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.write", full)
    *_, (line, download) = handlers.restore_batch(
        handlers.begin(VISITOR)[0], [str(send(handlers.studio))], "tiny", 0, 0, 1, VISITOR
    )
    assert "the disk of the machine that restores is full" in line and not download["interactive"]


def test_the_bar_stands_at_no_share_where_none_is_known(handlers, send) -> None:
    reports = []
    upload, call = str(send(handlers.studio)), handlers.begin(VISITOR)[0]
    values = ("tiny", NO_BARS, NO_PICTURE, None, 0, 0, "", 1, 20)
    handlers.restore(call, VISITOR, lambda share, desc: reports.append((share, desc)), upload, *values)
    assert reports == [(0.0, "reading"), (None, "restoring"), (None, "restoring"), (1.0, "drawing")]
    reports.clear()
    handlers.restore(
        call, VISITOR, lambda share, desc: reports.append((share, desc)), upload, "sampler", *values[1:-1], 2
    )
    assert [share for share, _ in reports] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert reports[2] == (0.5, "restoring, 1 of 2")


def test_who_is_turned_away_can_press_restore_again(handlers) -> None:
    go, stop, line = handlers.turn_away()
    assert go["visible"] and not stop["visible"]
    assert "too many wait just now" in line and line == handlers.turn_away_look()
