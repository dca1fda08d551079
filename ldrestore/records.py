"""Records: how a result was made, in plain values; no time stamps and no paths, so that equal runs give equal ones."""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldrestore import __version__
from ldrestore.errors import ImageWriteError, RecordError, printable

if TYPE_CHECKING:
    import numpy as np

RECORDED_PACKAGES = ("torch", "diffusers", "numpy", "pillow", "opencv-python-headless", "tifffile")
"""Packages whose version may change a result."""

MAX_NAME_BYTES = 255
"""The longest name of a file, as most file systems have it."""


def hash_of_pixels(pixels: "np.ndarray", alpha: "np.ndarray | None") -> str:
    """SHA-256 over type, shape and bytes of a picture's pixels and alpha, as hexadecimal digits."""
    import numpy as np  # the command's help, which knows where records lie, shall not wait for it

    digest = hashlib.sha256()
    for values in (pixels, alpha):
        if values is not None:
            digest.update(f"{values.dtype.name} {values.shape}\n".encode())
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _version_of(package: str) -> str:
    """The version of an installed package, looked up once a process: finding it reads files."""
    return version(package)


def make_record(
    *,
    model: Mapping[str, Any],
    options: Mapping[str, Any],
    tile_plan: Mapping[str, Any],
    runtime: Mapping[str, Any],
    input_sha256: str,
    output_sha256: str,
    degradations: Mapping[str, float] | None = None,
    understood: Mapping[str, Any] | None = None,
    more_packages: Sequence[str] = (),
) -> dict[str, Any]:
    """The record of one result.

    Args:
        model: Pipeline, architecture and hash of the weights.
        options: What the call asked for.
        tile_plan: How the picture was cut.
        runtime: Device, number type and threads.
        input_sha256: Hash of the pixels that came in, see `hash_of_pixels`.
        output_sha256: Hash of the pixels that went out.
        degradations: What the model saw, name to probability; None from models that estimate nothing.
        understood: What an instruction was taken for; None without one.
        more_packages: Those that computed beside `RECORDED_PACKAGES`.

    Returns:
        Plain values, ready for JSON.
    """
    return {
        "ldrestore": __version__,
        "packages": {name: _version_of(name) for name in (*RECORDED_PACKAGES, *more_packages)},
        "model": dict(model),
        "options": dict(options),
        "tile_plan": dict(tile_plan),
        "runtime": dict(runtime),
        "input_sha256": input_sha256,
        "output_sha256": output_sha256,
        "degradations": None if degradations is None else dict(degradations),
        "understood": None if understood is None else dict(understood),
    }


def with_file(record: Mapping[str, Any], path: Path, *, quality: int | None) -> dict[str, Any]:
    """A record that also knows the file it lies beside, so that a change of it is found out.

    Args:
        record: Of the result.
        path: The file that it was written to.
        quality: Of a lossy format; None for one that keeps the pixels.

    Raises:
        ImageWriteError: the file cannot be read again.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageWriteError(path, f"it cannot be read again ({error.strerror})", "check the folder") from error
    return {**record, "file": {"quality": quality, "sha256": digest}}


def read_record(result: Path) -> dict[str, Any]:
    """The record that lies beside a result.

    Args:
        result: The picture, or the record itself.

    Raises:
        RecordError: there is none, or it is damaged or another program's.
    """
    path = result if result.suffix.lower() == ".json" else record_path(result)
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        if not result.exists():
            raise RecordError(f"there is no file {printable(result)}; check the path of the result") from None
        raise RecordError(
            f"{printable(result)} has no record: no {printable(path.name)} lies beside it; results of --no-record "
            "cannot be replayed, and a record is to be moved together with its picture"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(
            f"{printable(path)} cannot be read as a record ({error}); restore the picture anew"
        ) from error
    texts, groups = (
        ("ldrestore", "input_sha256", "output_sha256"),
        ("packages", "model", "options", "tile_plan", "runtime"),
    )
    is_whole = isinstance(record, dict) and all(isinstance(record.get(key), str) for key in texts)
    if not is_whole or not all(isinstance(record.get(key), dict) for key in groups):
        raise RecordError(
            f"{printable(path)} is no record of ldrestore: expected {', '.join((*texts, *groups))}; name a result of "
            "`ldrestore restore`"
        )
    whole: dict[str, Any] = record
    return whole


def record_path(result: Path) -> Path:
    """Where the record of a result lies: beside it, under its name and ".json"; see `path_beside`."""
    return path_beside(result, ".json")


def path_beside(result: Path, ending: str) -> Path:
    """A file that belongs to a result: beside it, under its name and an ending.

    Where that name would be longer than file systems allow, it is cut, and made one of its own by eight digits of the
    whole name's hash.

    Args:
        result: The picture.
        ending: Such as ".json".
    """
    if len(os.fsencode(f"{result.name}{ending}")) <= MAX_NAME_BYTES:
        return result.with_name(f"{result.name}{ending}")
    ending = f"-{hashlib.sha256(os.fsencode(result.name)).hexdigest()[:8]}{ending}"
    kept = result.name
    while len(os.fsencode(kept)) + len(ending) > MAX_NAME_BYTES:
        kept = kept[:-1]
    return result.with_name(kept + ending)


def write_record(record: Mapping[str, Any], path: Path) -> None:
    """Write a record as JSON with sorted keys, whole or not at all.

    Raises:
        ImageWriteError: the folder is missing or not writable, or the disk is full.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        temporary.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ImageWriteError(path, f"the record cannot be written ({error.strerror})", "check the folder") from error
