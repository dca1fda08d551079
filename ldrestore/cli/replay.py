"""`ldrestore replay`: make a result again from its record."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ldrestore.cli.console import print_json, print_table, say
from ldrestore.cli.shared_options import BaseOption, MaxPixelsOption
from ldrestore.errors import ImageWriteError, OutputExistsError, printable

if TYPE_CHECKING:
    from ldrestore.jobs.replay import Replay

REPLAY_EXAMPLES = """\b
Examples:
  ldrestore replay better.jpg
  ldrestore replay better.jpg --input photo.jpg
  ldrestore replay better.jpg --input photo.jpg --protect face_mask.png --json
  ldrestore replay better.jpg --input photo.jpg --out again.png
"""
"""Shown below the help; the first character keeps the lines as they are."""


def replay_command(
    result: Annotated[
        str, typer.Argument(metavar="RESULT", help="A picture that `restore` made; its record lies beside it.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="The picture that it was made of; without it, it is looked for beside the result, by its pixels.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Where the model is now; without it the name that the record tells."),
    ] = None,
    base: BaseOption = None,
    protect: Annotated[
        str | None, typer.Option(metavar="MASK", help="The mask, where the result was made with one.")
    ] = None,
    embeddings: Annotated[
        str | None, typer.Option(metavar="CACHE", help="The guide's cache, where the result was made with one.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Where to compute; without it as recorded, if it is there.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write what came out to a new file, in a format that keeps it.")
    ] = None,
    max_pixels: MaxPixelsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of words.")] = False,
) -> None:
    """Make a result again from its record, and compare the pixels.

    Model, options, seed, tiles and threads are those of the record, which lies beside the result. Tells whether the
    pixels are the same, by their hash, or what differs: versions, weights, device, processor, tiles. Exit codes: 0 the
    same pixels, 1 others or not made, 2 wrong call. Nothing is fetched.
    """
    from ldrestore.images.files import write_photo
    from ldrestore.jobs.replay import ReplayRequest, replay

    request = ReplayRequest(
        source=source,
        model=model,
        base=base,
        protect=protect,
        embedding=embeddings,
        device=device,
        max_pixels=max_pixels,
    )
    if out is not None:
        _check_out(Path(out))
    replayed = replay(result, request, shows_progress=not as_json)
    if as_json:
        print_json(_document(replayed))
    else:
        _tell(replayed)
    if out is not None and replayed.photo is not None:
        write_photo(replayed.photo, out)
    raise typer.Exit(0 if replayed.is_reproduced else 1)


def _check_out(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Raises:
        ImageFileError: it exists, its folder does not, or its name is of no format.
    """
    from ldrestore.images.encoding import check_target

    check_target(path, height=1, width=1, has_alpha=False)
    if os.path.lexists(path):
        raise OutputExistsError(path, "the file exists", "choose another name")
    if not os.path.isdir(path.parent):
        raise ImageWriteError(path, f"there is no folder {printable(path.parent)}", "make the folder first")


def _tell(replayed: "Replay") -> None:
    """The verdict on standard output, what differs in a table."""
    name = printable(replayed.result)
    if replayed.reason is not None:
        say(f"not replayed: {replayed.reason}")
    elif replayed.is_reproduced:
        print(f"{name}: the same pixels again, made of {printable(replayed.source)}")
    else:
        print(f"{name}: other pixels than recorded, made of {printable(replayed.source)}")
    print(f"{name}: the file is {replayed.file_state.value}")
    if replayed.differences:
        rows = [(one.name, _text(one.recorded), _text(one.present)) for one in replayed.differences]
        print_table(("what differs", "recorded", "now"), rows)
    elif replayed.reason is None and not replayed.is_reproduced:
        say("nothing that the record tells differs; the model may not compute the same twice on this device")


def _document(replayed: "Replay") -> dict[str, Any]:
    """All of it as plain values, for JSON."""
    return {
        "result": str(replayed.result),
        "input": None if replayed.source is None else str(replayed.source),
        "reproduced": replayed.is_reproduced,
        "file": replayed.file_state.value,
        "reason": replayed.reason,
        "differences": [asdict(one) for one in replayed.differences],
        "record": None if replayed.record is None else dict(replayed.record),
    }


def _text(value: Any) -> str:
    """A value of a record; hashes by their first digits."""
    text = "nothing" if value is None else str(value)
    return f"{text[:12]}..." if len(text) == 64 and set(text) <= set("0123456789abcdef") else text
