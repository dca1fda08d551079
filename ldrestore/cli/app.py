"""`ldrestore app`: the page."""

import contextlib
import getpass
import math
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from ldrestore.cli.console import say
from ldrestore.cli.shared_options import DtypeOption, ModelOption, NumberFormat
from ldrestore.errors import InputError

APP_EXAMPLES = """\b
Examples:
  ldrestore app
  ldrestore app --model default-fast --port 8080
  ldrestore app --models my_models/ --device cuda:0,cuda:1
  LDRESTORE_APP_PASSWORD=... ldrestore app --host 0.0.0.0 --user studio
"""
"""Shown below the help; the first character keeps the lines as they are."""

PASSWORD_VARIABLE = "LDRESTORE_APP_PASSWORD"
"""Of the environment; without it the password is asked for."""

HostOption = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Where to listen; other machines come in by 0.0.0.0, not unasked.")
]
PortOption = Annotated[int, typer.Option(min=0, max=65_535, metavar="N", help="0 takes a free one.")]
ModelsOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Offer the models in its sub-folders, and its .onnx files, too.")
]
DevicesOption = Annotated[
    str,
    typer.Option(
        metavar="DEVICE,...", help="Such as `auto`, `cpu` or `cuda:0,cuda:1`; each does one picture at a time."
    ),
]
UserOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"Ask for this name and a password, which is read from {PASSWORD_VARIABLE}."),
]
UploadOption = Annotated[float, typer.Option(min=0.001, metavar="MB", help="Most megabytes of one upload.")]
PixelsOption = Annotated[float, typer.Option(min=0.0001, metavar="MP", help="Most megapixels of one picture.")]
WaitingOption = Annotated[int, typer.Option(min=1, metavar="N", help="So many calls may wait; the next are refused.")]
BatchOption = Annotated[int, typer.Option(min=1, metavar="N", help="Most pictures of one batch.")]
DiskOption = Annotated[float, typer.Option(min=0.001, metavar="GB", help="Most gigabytes of all that is kept.")]
KeepOption = Annotated[
    float,
    typer.Option(min=0.01, metavar="MINUTES", help="Uploads and results are removed so long after their last use."),
]


def app_command(
    model: ModelOption = "default",
    models: ModelsOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 7860,
    device: DevicesOption = "auto",
    dtype: DtypeOption = NumberFormat.FLOAT32,
    user: UserOption = None,
    max_upload: UploadOption = 200.0,
    max_megapixels: PixelsOption = 100.0,
    max_waiting: WaitingOption = 64,
    max_batch: BatchOption = 500,
    max_disk: DiskOption = 20.0,
    keep: KeepOption = 60.0,
) -> None:
    """Open a page in which pictures are restored, on this machine and for it alone unless --host says otherwise.

    Drop a picture, see what is wrong with it, say it better, mark what must stay, compare, and download the result as
    `ldrestore restore` would have written it. Many pictures at once come back as a zip. It has an HTTP interface too.
    """
    from ldrestore.serving.settings import PageSettings, check_page_packages

    check_page_packages()
    say("starting the page; this may take a minute")
    from ldrestore.serving.page_server import serving

    settings = PageSettings(
        host=host,
        port=port,
        models_folder=models,
        first_model=model,
        devices=tuple(filter(None, (one.strip() for one in device.split(",")))),
        dtype=dtype.value,
        max_upload_bytes=_whole("--max-upload", max_upload * 1e6),
        max_pixels=_whole("--max-megapixels", max_megapixels * 1e6),
        max_waiting=max_waiting,
        max_batch=max_batch,
        max_disk_bytes=_whole("--max-disk", max_disk * 1e9),
        keep_seconds=keep * 60,
        user=user,
        password=None if user is None else _password(),
    )
    signal.signal(signal.SIGTERM, _interrupt)
    with serving(settings) as address:
        print(f"ldrestore listens at {address}", flush=True)
        if host not in ("127.0.0.1", "localhost", "::1") and user is None:
            say("warning: everybody who reaches this machine can use the page; --user asks for a password")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def _whole(name: str, number: float) -> int:
    """A limit as a whole number.

    Raises:
        InputError: it is infinite, or no number.
    """
    if not math.isfinite(number):
        raise InputError(f"{name} takes a number, got {number:g}; for no limit that matters give a large one")
    return int(number)


def _interrupt(number: int, frame: object) -> None:
    """End as by Ctrl-C, so that the folder of uploads is removed.

    Raises:
        KeyboardInterrupt: always.
    """
    raise KeyboardInterrupt


def _password() -> str:
    """Of the one user.

    Raises:
        InputError: there is none, and nobody to ask.
    """
    password = os.environ.get(PASSWORD_VARIABLE)
    if password:
        return password
    if not sys.stdin.isatty():
        raise InputError(f"--user needs a password; set {PASSWORD_VARIABLE}")
    return getpass.getpass(f"Password for the page ({PASSWORD_VARIABLE} saves the question): ")
