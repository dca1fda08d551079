"""What stands between the network and gradio: limits, one folder that is served, and nothing that reaches out."""

import shutil
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ldrestore.errors import FULL_ERRORS, InputError
from ldrestore.serving.http_calls import called_name, fault_of_call
from ldrestore.serving.settings import PageSettings
from ldrestore.serving.temporary_store import TemporaryStore

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_WORDS_BYTES = 16_000_000
"""Of a request that is no upload; a painted mask is the largest part of one."""
LEAST_FREE_BYTES = 500_000_000
"""Of the disk; below, no upload is taken."""
CLOSED = (
    "/proxy=",
    "/stream/",
    "/monitoring",
    "/deep_link",
    "/process_recording",
    "/run-history",
    "/runs",
    "/dev/",
    "/profiling",
    "/custom_component",
    "vibe-",
    "/svelte/",
    "/call/v2/",
)
"""Parts of addresses that gradio answers and this page has no use for."""
FILE_MARKS = ("/file=", "/file/")
"""What stands before the path of a file in an address."""
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
        b"frame-ancestors 'self'; form-action 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""The browser is told to fetch nothing from elsewhere, whatever a text says."""


class _TooLargeError(Exception):
    """More bytes came than are taken."""


class Guard:
    """An ASGI application around gradio's."""

    def __init__(self, app: Application, *, settings: PageSettings, store: TemporaryStore) -> None:
        """Stand before it.

        Args:
            app: Gradio's.
            settings: With the limits.
            store: The folder that is served.
        """
        self.app, self.settings, self.store = app, settings, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(str(scope["path"]))
        if refusal is not None:
            await _answer(send, *refusal)
            return
        name = called_name(str(scope["path"])) if scope.get("method") == "POST" else None
        if name is not None and _announced_bytes(scope) <= MAX_WORDS_BYTES:
            body = await _whole_body(receive)
            fault = None if body is None else fault_of_call(name, body, is_stored=self._is_stored)
            if body is None or fault is not None:
                await _answer(send, *(fault or _too_large(is_upload=False)))
                return
            receive = _again(body, receive)
        await self._hand_on(scope, receive, send)

    def _is_stored(self, path: str) -> bool:
        """Whether a path is a file of the folder that is served."""
        try:
            self.store.checked(path)
        except InputError:
            return False
        return True

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let gradio answer, but no more bytes to it than are taken."""
        is_upload = str(scope["path"]).rstrip("/").endswith("/upload")
        try:
            room = self._room() if is_upload else MAX_WORDS_BYTES
            if _announced_bytes(scope) > room:
                raise _TooLargeError
        except _TooLargeError:
            await _answer(send, *_too_large(is_upload))
            return
        came, has_begun, has_left = 0, False, False

        async def counted() -> Message:
            nonlocal came, has_left
            message = await receive()
            has_left = has_left or message["type"] == "http.disconnect"
            came += len(message.get("body", b""))
            if came > room:
                raise _TooLargeError
            return message

        async def with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                own = {name for name, _ in HEADERS}
                kept = [header for header in message.get("headers", []) if header[0].lower() not in own]
                message = {**message, "headers": [*kept, *HEADERS]}
            await send(message)

        try:
            await self.app(scope, counted, with_headers)
        except _TooLargeError:
            if not has_begun:
                await _answer(send, *_too_large(is_upload))
        except Exception as error:
            if is_upload and has_left:
                return  # nobody is there to answer; half an upload is swept like the others
            if has_begun or not isinstance(error, OSError) or error.errno not in FULL_ERRORS:
                raise
            await _answer(send, 507, "the disk of the machine that restores is full; try again later")

    def _refusal(self, path: str) -> tuple[int, str] | None:
        """Status and words for what is not served at all; None for the rest."""
        mark = min((mark for mark in FILE_MARKS if mark in path), key=path.index, default=None)
        route, _, file = path.partition(mark) if mark else (path, "", "")  # a file may be called, and lie, as it likes
        if any(part in route for part in CLOSED):
            return 404, "there is nothing here"
        if mark is not None and not self._is_stored(file):
            return 403, "there is no such file to fetch"
        return None

    def _room(self) -> int:
        """How many bytes an upload may have now.

        Raises:
            _TooLargeError: none.
        """
        free = shutil.disk_usage(self.store.root).free - LEAST_FREE_BYTES
        room = min(free, self.settings.max_disk_bytes - self.store.used_bytes())
        if room <= 0:
            raise _TooLargeError
        return room


async def _whole_body(receive: Receive) -> bytes | None:
    """The body of a request that is no upload; None where it is longer than is taken, or never ends."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if message["type"] == "http.disconnect" or len(body) > MAX_WORDS_BYTES:
            return None
        if not message.get("more_body"):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A request whose body was read, as if it had not been."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def _announced_bytes(scope: Scope) -> int:
    """Length of a request's body as its header has it; 0 where it has none that makes sense."""
    for name, value in scope.get("headers", ()):
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _too_large(is_upload: bool) -> tuple[int, str]:
    """Status and words."""
    if is_upload:
        return 507, "there is no room for the upload now; send fewer or smaller pictures, or try again later"
    return 413, "the request is too large; pictures go through the upload"


async def _answer(send: Send, status: int, text: str) -> None:
    """A whole answer in plain text."""
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
