"""The page on the network: started, and stopped with nothing left behind."""

import contextlib
import inspect
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ldrestore.errors import ConfigError
from ldrestore.serving.guard import Guard
from ldrestore.serving.page import Page, asset, theme
from ldrestore.serving.page_handlers import PageHandlers, sweep_now_and_then
from ldrestore.serving.settings import PageSettings
from ldrestore.serving.studio import Studio

_QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""What gradio reads from the environment when it is imported or started."""
_PLAIN = {
    "share": False,
    "prevent_thread_lock": True,
    "quiet": True,
    "inbrowser": False,
    "show_error": True,
    "footer_links": [],
    "ssr_mode": False,
    "enable_monitoring": False,
    "run_history": False,
    "mcp_server": False,
    "pwa": False,
    "strict_cors": True,
    "allowed_paths": [],
}
"""Of gradio's `launch`: nothing that reaches out, and nothing that is not needed."""


@contextmanager
def serving(settings: PageSettings, *, parent: Path | None = None) -> Iterator[str]:
    """The page, until the end of the block; then its folder is gone.

    Args:
        settings: Of the page.
        parent: Where its folder is made; None for the system's place for temporary files.

    Yields:
        Its address.

    Raises:
        ConfigError: the port is taken, or the folder of models holds none.
    """
    studio = Studio(settings, parent=parent)
    stopped = threading.Event()
    try:
        with _environment({**_QUIET, "GRADIO_TEMP_DIR": str(studio.store.root)}):
            page = Page(PageHandlers(studio))
            page.blocks.queue(max_size=settings.max_waiting, default_concurrency_limit=1, api_open=False)
            sweeper = threading.Thread(target=sweep_now_and_then, args=(page.handlers, stopped), daemon=True)
            sweeper.start()
            try:
                _launch(page.blocks, settings, studio, theme=theme(), css=asset("style.css"))
                yield str(page.blocks.local_url)
            finally:
                stopped.set()
                page.blocks.close(verbose=False)
    finally:
        studio.close()


def _launch(blocks: Any, settings: PageSettings, studio: Studio, **looks: Any) -> None:
    """Start to listen.

    Raises:
        ConfigError: the port is taken, or nobody answers there.
    """
    known = inspect.signature(blocks.launch).parameters
    guard = (Guard, (), {"settings": settings, "store": studio.store})  # as starlette's Middleware unpacks
    try:
        blocks.launch(
            server_name=settings.host,
            server_port=settings.port or _free_port(settings.host),
            auth=None if settings.user is None else (settings.user, settings.password),
            max_file_size=settings.max_upload_bytes,
            app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None},
            **{name: value for name, value in _PLAIN.items() if name in known},
            **looks,
        )
    except ValueError as error:  # gradio asks for its own page once, and waits three seconds
        if "localhost is not accessible" not in str(error):
            raise
        raise ConfigError(
            f"the page at {settings.host} does not answer this machine: it is too busy just now, or a proxy stands "
            "between; try again, and if that does not help set NO_PROXY=localhost,127.0.0.1"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {settings.host}, port {settings.port} ({error}); choose another --host or --port"
        ) from error


def _free_port(host: str) -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables of the environment, as they were again afterwards; gradio knows no other way to be told its folder."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            with contextlib.suppress(KeyError):
                os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
