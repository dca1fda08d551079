"""A folder that is there whole or not at all."""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError

from ldrestore.errors import ExportError, InputError, LDRestoreError


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, indented, in UTF-8."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextmanager
def whole_folder(target: str | Path) -> Iterator[Path]:
    """A temporary folder beside the target, which takes the target's place at the end; after an error it is gone.

    Args:
        target: New, or an empty folder; the folders above it are made, and stay after an error.

    Yields:
        The folder to write, which is not there yet.

    Raises:
        InputError: the target is a file, or not empty.
        ExportError: it cannot be written.
    """
    target = Path(target)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"{target} is not empty; name another folder")
        place = _resolved(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place.parent, prefix=".partial-") as folder:
            written = Path(folder) / place.name
            yield written
            if place.exists():
                place.rmdir()
            written.rename(place)
    except LDRestoreError:
        raise
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExportError(
            f"{target} cannot be written ({reason}); make room, or name a folder that you may write to"
        ) from error


def _resolved(target: Path) -> Path:
    """A path without links.

    Raises:
        OSError: links lead in a circle, or no file may have such a name.
    """
    try:
        return target.resolve()
    except (RuntimeError, ValueError) as error:  # before Python 3.13 of a circle; of a null character
        raise OSError(errno.ELOOP, str(error)) from error
