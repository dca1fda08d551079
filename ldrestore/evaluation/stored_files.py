"""What a benchmark keeps in its folder: pictures and small documents, written whole, found again by their hash."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from ldrestore.errors import ImageWriteError
from ldrestore.images.photo import Photo
from ldrestore.records import hash_of_pixels

KEY_LENGTH = 16
"""Hexadecimal digits of a hash in the name of a file."""
MAX_STEM = 100
"""Characters of a picture's name that are kept in the name of a file."""


def key_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def hash_of_photo(photo: Photo) -> str:
    """SHA-256 of a picture's pixels and alpha."""
    return hash_of_pixels(photo.pixels, photo.alpha)


def picture_name(name: str, key: str, suffix: str = ".png") -> str:
    """The file name of a picture: its own, as far as file systems take it, and the key."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
    return f"{plain[:MAX_STEM]}-{key[:KEY_LENGTH]}{suffix}"


def folder_name(name: str) -> str:
    """The folder of a contestant or dataset."""
    plain = "".join(letter if letter.isalnum() or letter in "-_.=," else "_" for letter in name).strip(".")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def stored_form(photo: Photo) -> Photo:
    """A picture as `store_photo` keeps it: floats are rounded to 16 bits, other values stay."""
    if photo.pixels.dtype.kind != "f":
        return photo
    return Photo(pixels=_deep(photo.pixels), alpha=None if photo.alpha is None else _deep(photo.alpha))


def store_photo(photo: Photo, path: Path) -> None:
    """Write the pixels of a picture as PNG, without what else it carries; nothing where it lies there already.

    Compressed by runs of differences, which is as small as the slow levels of zlib and takes a tenth of their time: the
    harness writes pictures by the thousand.

    Raises:
        ImageWriteError: the folder or file cannot be written.
    """
    if path.is_file():
        return
    photo = stored_form(photo)
    values = photo.pixels if photo.alpha is None else np.concatenate([photo.pixels, photo.alpha[..., None]], axis=2)
    encoded = imagecodecs.png_encode(
        np.ascontiguousarray(values[..., 0] if values.shape[2] == 1 else values),
        level=1,
        strategy=imagecodecs.PNG.STRATEGY.RLE,
        filter=imagecodecs.PNG.FILTER.SUB,
    )
    write_bytes(path, bytes(encoded))


def _deep(values: np.ndarray) -> np.ndarray:
    """Floats rounded to 16 bits."""
    return np.rint(values * np.float32(65535)).astype(np.uint16)


def write_document(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as JSON, whole or not at all.

    Raises:
        ImageWriteError: the folder or file cannot be written.
    """
    write_text(path, json.dumps(content, indent=1, sort_keys=True, default=str) + "\n")


def read_json_or_none(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none, or where it is damaged and is to be made again."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def stamp_of(path: Path) -> str | None:
    """Size in bytes and time of the last change in nanoseconds of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns}"


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all.

    Raises:
        ImageWriteError: the folder or file cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        ImageWriteError: the folder or file cannot be written.
    """
    _make_folder(path.parent, path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ImageWriteError(path, f"it cannot be written ({error.strerror})", "check folder and disk") from error


def link_or_copy(source: Path, path: Path) -> None:
    """Put a file at another place too: as a link where the disk has links, whole or not at all.

    Raises:
        ImageWriteError: the folder or file cannot be written.
    """
    _make_folder(path.parent, path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ImageWriteError(path, f"it cannot be written ({error.strerror})", "check folder and disk") from error


def _make_folder(folder: Path, path: Path) -> None:
    """Make the folder of a file.

    Raises:
        ImageWriteError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"its folder cannot be made ({error.strerror})"
        raise ImageWriteError(path, reason, "check permissions, and that no file has the folder's name") from error
