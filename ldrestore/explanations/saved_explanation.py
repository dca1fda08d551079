"""A folder with an explanation: figures, numbers and a page, all written or none."""

import contextlib
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldrestore.errors import ImageWriteError, InputError, OutputExistsError
from ldrestore.tracks import TRACKS

DOCUMENT, PAGE = "explanation.json", "explanation.md"
SENTENCES = "instructions.png"
"""The map of instructions, which no picture has."""


def explanation_files() -> tuple[str, ...]:
    """All names that an explanation may have in its folder; other files there are nobody's business."""
    figures = sorted({name for track in TRACKS for name in track.figures} | {SENTENCES})
    return (DOCUMENT, PAGE, *figures)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that an explanation cannot go to, before anything is loaded.

    Args:
        folder: Where it is to go; it and its parents are made if missing.
        overwrite: Whether an earlier explanation is replaced.

    Raises:
        InputError: it is a file.
        OutputExistsError: a file of an explanation lies there, and `overwrite` is False.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the explanation")
    for name in () if overwrite else explanation_files():
        if (folder / name).exists():
            raise OutputExistsError(folder / name, "exists already", "name another folder, or ask for overwriting")


def write_explanation(
    folder: Path, *, document: Mapping[str, Any], page: str, figures: Mapping[str, bytes], overwrite: bool = False
) -> list[str]:
    """Write an explanation: everything is written beside its place and then renamed, the page last.

    Args:
        folder: Where; made if missing.
        document: All numbers, for `DOCUMENT`.
        page: Markdown, for `PAGE`.
        figures: File name to PNG; names of `explanation_files`.
        overwrite: Whether an earlier explanation is replaced; figures of it that are not made again are removed.

    Returns:
        Names of the files, sorted.

    Raises:
        InputError: the folder is a file.
        OutputExistsError: a file of an explanation lies there, and `overwrite` is False.
        ImageWriteError: the folder cannot be made or written to, or the disk is full.
    """
    check_folder(folder, overwrite=overwrite)
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    contents = {**figures, DOCUMENT: text.encode(), PAGE: page.encode()}  # the page comes last
    waiting = folder / f".{secrets.token_hex(8)}.part"
    is_new = not folder.exists()
    try:
        waiting.mkdir(parents=True)
        for name, content in contents.items():
            (waiting / name).write_bytes(content)
        for name in contents:
            (waiting / name).replace(folder / name)
        for name in set(explanation_files()) - set(contents):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        reason = f"the explanation cannot be written ({error.strerror})"
        raise ImageWriteError(folder, reason, "check the folder, its permissions and the space left") from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
        if is_new:
            with contextlib.suppress(OSError):  # it holds something, as it should
                folder.rmdir()
    return sorted(contents)
