"""Files that Pillow writes, through Python's own writes, and with more bytes after the first ones where asked."""

from collections.abc import Mapping
from typing import Any, BinaryIO

from PIL import Image


def save_with_pillow(
    image: Image.Image,
    file: BinaryIO,
    file_format: str,
    *,
    options: Mapping[str, Any] | None = None,
    place: int = 0,
    inserted: bytes = b"",
) -> None:
    """Write an image; whatever cannot be written whole is an error.

    A file that has a descriptor Pillow writes by the system's own call, and takes for whole what a full disk took of
    its last block: the picture would end in the middle, without a word.

    Args:
        image: Of a mode that the format holds.
        file: Open for writing, at its beginning.
        file_format: Pillow's name of it.
        options: Pillow's, for the format.
        place: So many bytes come first.
        inserted: What comes then.

    Raises:
        OSError: it cannot be written.
    """
    target = _Inserting(file, place, inserted)
    image.save(target, file_format, **(options or {}))  # type: ignore[arg-type]  # only written to


class _Inserting:
    """A file that is written to, which gets more bytes after its first ones; it has no descriptor."""

    def __init__(self, file: BinaryIO, place: int, inserted: bytes) -> None:
        """Wrap a file at its beginning."""
        self._file, self._missing, self._inserted = file, place, inserted

    def write(self, data: bytes) -> int:
        """Write, and insert where the place is reached."""
        head = data[: self._missing]
        self._file.write(head)
        if self._missing and len(head) == self._missing:
            self._file.write(self._inserted)
        self._missing -= len(head)
        self._file.write(data[len(head) :])
        return len(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()
