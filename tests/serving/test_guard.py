import asyncio
from types import SimpleNamespace

import pytest

from ldrestore.serving.guard import LEAST_FREE_BYTES, MAX_WORDS_BYTES, Guard
from ldrestore.serving.temporary_store import TemporaryStore


@pytest.fixture
def ask(make_studio):
    """`ask(path, chunks, app=..)` gives status and text; without an app everything is answered with 200."""
    studio = make_studio(max_disk_bytes=1000)

    async def hearing(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"referrer-policy", b"origin")]})
        await send({"type": "http.response.body", "body": b"fine"})

    def call(path, chunks=(b"",), *, app=hearing, headers=(), method="GET"):
        sent, waiting = [], list(chunks)

        async def receive():
            body = waiting.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(waiting)}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        asyncio.run(Guard(app, settings=studio.settings, store=studio.store)(scope, receive, send))
        call.headers = dict(sent[0]["headers"])
        return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:]).decode()

    call.studio = studio
    return call


@pytest.mark.parametrize("way", ["/gradio_api/file=", "/gradio_api/file/", "/file="])
def test_only_files_of_the_store_are_fetched(ask, way, tmp_path):
    inside = ask.studio.store.new_folder() / "a.png"
    inside.write_bytes(b"x")
    secret = tmp_path / "secret"
    secret.write_text("x")
    inside.with_name("link").symlink_to(secret)
    assert ask(f"{way}{inside}") == (200, "fine")
    tricks = (secret, inside.with_name("link"), f"{inside.parent}/../../secret", "http://10.0.0.1/x", "/etc/passwd", "")
    for path in tricks:
        assert ask(f"{way}{path}")[0] == 403


def test_what_reaches_out_or_spies_is_closed(ask):
    for path in (
        "/gradio_api/proxy=http://x",
        "/monitoring",
        "/gradio_api/vibe-edit",
        "/gradio_api/run-history/records",
    ):
        assert ask(path) == (404, "there is nothing here")


def test_every_answer_forbids_the_browser_to_fetch_from_elsewhere(ask):
    for path in ("/", "/monitoring"):
        ask(path)
        assert b"default-src 'self'" in ask.headers[b"content-security-policy"]
        assert ask.headers[b"referrer-policy"] == b"no-referrer"


def test_uploads_end_where_the_disk_does(ask):
    assert ask("/gradio_api/upload", [b"x" * 500]) == (200, "fine")
    announced = ask("/gradio_api/upload", headers=[(b"Content-Length", b"1001")])
    counted = ask("/gradio_api/upload/", [b"x" * 600, b"x" * 600])
    (ask.studio.store.new_folder() / "a").write_bytes(b"x" * 1000)
    full = ask("/gradio_api/upload", [b"x"])
    assert [status for status, _ in (announced, counted, full)] == [507] * 3
    assert "no room for the upload" in full[1]


def test_words_are_short(ask):
    status, text = ask("/gradio_api/queue/join", [b"x" * MAX_WORDS_BYTES, b"x"])
    assert (status, text) == (413, "the request is too large; pictures go through the upload")


def test_a_full_disk_is_told_and_another_error_is_not_hidden(ask):
    def failing(number):
        async def app(scope, receive, send):
            raise OSError(number, "no")

        return app

    assert ask("/gradio_api/upload", app=failing(28))[0] == 507
    with pytest.raises(OSError, match="no"):
        ask("/", app=failing(5))


def test_who_hangs_up_in_the_middle_leaves_no_traceback(make_studio):
    class HungUpError(Exception):
        """As a framework has one."""

    async def reading(scope, receive, send):
        if (await receive())["type"] == "http.disconnect":
            raise HungUpError

    async def hang_up():
        return {"type": "http.disconnect"}

    async def unused(message):
        raise AssertionError("nobody is there")

    studio = make_studio()
    scope = {"type": "http", "path": "/gradio_api/upload", "headers": []}
    asyncio.run(Guard(reading, settings=studio.settings, store=studio.store)(scope, hang_up, unused))


def test_a_wrong_call_is_answered_and_a_right_one_handed_on_whole(ask):
    heard = []

    async def hearing(scope, receive, send):
        heard.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    assert ask("/gradio_api/call/models", (b'{"da', b'ta": []}'), app=hearing, method="POST") == (200, "fine")
    assert heard == [b'{"data": []}']
    for path, body, status in (
        ("/gradio_api/call/nothing", b'{"data": []}', 404),
        ("/gradio_api/call/restore", b'{"data": [1]}', 422),
        ("/gradio_api/call/models", b" " * (MAX_WORDS_BYTES + 1), 413),
    ):
        assert ask(path, (body,), app=hearing, method="POST")[0] == status
    assert len(heard) == 1


def test_a_file_is_served_wherever_it_lies_and_whatever_it_is_called(make_settings, tmp_path) -> None:
    (tmp_path / "dev" / "shm").mkdir(parents=True)
    store = TemporaryStore(tmp_path / "dev" / "shm")  # "/dev/" is a part of addresses that are closed
    answers = []

    async def app(scope, receive, send):
        answers.append(scope["path"])

    guard = Guard(app, settings=make_settings(), store=store)
    paths = []
    for name in ("a.png", "vibe-check.png", "svelte.png"):
        file = store.new_folder() / name
        file.write_bytes(b"x")
        paths.append(f"/gradio_api/file={file}")
    for path in paths:
        asyncio.run(guard({"type": "http", "method": "GET", "path": path, "headers": []}, None, None))
    store.close()
    assert answers == paths


def test_a_stored_file_opens_no_closed_route_and_no_other_file(ask) -> None:
    inside = ask.studio.store.new_folder() / "a.png"
    inside.write_bytes(b"x")
    assert ask(f"/gradio_api/proxy=http://x/file={inside}")[0] == 404
    assert ask(f"/custom_component/x/file={inside}")[0] == 404
    assert ask(f"/gradio_api/file/etc/passwd/file={inside}")[0] == 403
    assert ask(f"/gradio_api/file=/etc/passwd/file/{inside}")[0] == 403


@pytest.mark.parametrize("length", [b"abc", b"-5", b"1e3", b"", b" 500"])
def test_a_length_that_makes_no_sense_is_counted_as_it_comes(ask, length) -> None:
    headers = [(b"content-length", length)]
    assert ask("/gradio_api/upload", [b"x" * 500], headers=headers) == (200, "fine")
    assert ask("/gradio_api/upload", [b"x" * 600, b"x" * 600], headers=headers)[0] == 507


def test_an_upload_needs_room_on_the_disk_itself(ask, monkeypatch) -> None:
    def nearly_full(path):
        return SimpleNamespace(free=LEAST_FREE_BYTES + 400)

    monkeypatch.setattr("shutil.disk_usage", nearly_full)
    assert ask("/gradio_api/upload", [b"x" * 300])[0] == 200
    assert ask("/gradio_api/upload", [b"x" * 500])[0] == 507
    assert ask("/gradio_api/queue/join", [b"x" * 500])[0] == 200  # words need none


def test_an_answer_that_has_begun_is_not_begun_again(make_studio) -> None:
    studio, sent = make_studio(max_disk_bytes=100), []

    async def hasty(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()

    async def receive():
        return {"type": "http.request", "body": b"x" * 101, "more_body": False}

    async def send(message):
        sent.append(message["type"])

    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": []}
    asyncio.run(Guard(hasty, settings=studio.settings, store=studio.store)(scope, receive, send))
    assert sent == ["http.response.start"]


def test_half_a_call_of_who_hung_up_is_never_begun(make_studio) -> None:
    studio, waiting = make_studio(), [b'{"data": [', None]

    async def app(scope, receive, send):
        raise AssertionError("half a call was handed on")

    async def receive():
        body = waiting.pop(0)
        return (
            {"type": "http.disconnect"} if body is None else {"type": "http.request", "body": body, "more_body": True}
        )

    async def send(message):
        pass

    scope = {"type": "http", "method": "POST", "path": "/gradio_api/call/models", "headers": []}
    asyncio.run(Guard(app, settings=studio.settings, store=studio.store)(scope, receive, send))
    assert not waiting


def test_what_is_no_request_passes_untouched(make_studio) -> None:
    studio, heard = make_studio(), []

    async def app(scope, receive, send):
        heard.append((scope, receive, send))

    words = ({"type": "lifespan"}, object(), object())
    asyncio.run(Guard(app, settings=studio.settings, store=studio.store)(*words))
    assert heard == [words]
