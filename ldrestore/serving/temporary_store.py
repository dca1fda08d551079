"""The one folder that uploads and results lie in, and that alone is served; it is emptied as it is used up."""

import os
import re
import secrets
import shutil
import tempfile
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ldrestore.errors import InputError, printable

FOLDER_PREFIX = "ldrestore-app-"
"""How the names of our folders begin."""
MARK_NAME = ".in-use"
"""A file in each that is locked as long as its page lives."""
MAX_STORED_NAME_BYTES = 180
"""Longest name of a stored file, which leaves room for a suffix, a number and a record's ending."""
HARMLESS_SIGNS = frozenset("_ .,;=+@()[]{}~^!#$&'-")
"""What a name may have beside letters, marks and digits of any script."""
RESERVED = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{kind}{n}" for kind in ("COM", "LPT") for n in range(1, 10))})
"""Names that are devices on Windows, where a zip may be unpacked."""


class TemporaryStore:
    """A folder of our own, readable by nobody else, with sub-folders whose names cannot be guessed."""

    def __init__(self, parent: Path | None = None) -> None:
        """Make the folder.

        Args:
            parent: Where; None for the system's place for temporary files.
        """
        _remove_abandoned(Path(tempfile.gettempdir() if parent is None else parent))
        self.root = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent)).resolve()
        unlocked = self.root / ".mark"
        self._mark: int | None = os.open(unlocked, os.O_RDWR | os.O_CREAT, 0o600)
        _lock(self._mark)
        unlocked.rename(self.root / MARK_NAME)  # whoever finds it finds it locked
        self._held: dict[Path, int] = {}
        self._lock = threading.Lock()

    def new_folder(self) -> Path:
        """An empty sub-folder.

        Raises:
            OSError: the disk is full, or the store is closed.
        """
        folder = self.root / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder

    def checked(self, path: str | Path) -> Path:
        """A file of the store, by the path that a visitor gave.

        Raises:
            InputError: it is no plain file of the store, by "..", by a link or by anything else.
        """
        try:
            real = Path(path).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise InputError("the upload is no longer here; send the picture again") from None
        if not real.is_relative_to(self.root) or not real.is_file() or os.path.islink(path):
            raise InputError(f"{printable(Path(path).name)} is no upload; send the picture itself")
        return real

    def touch(self, path: Path) -> None:
        """Let a file or folder of the store live anew; nothing happens where it is gone."""
        for one in (path, path.parent):
            if one != self.root and one.exists():
                os.utime(one)

    @contextmanager
    def holding(self, folder: Path) -> Iterator[None]:
        """Keep a sub-folder from being swept while it is worked in."""
        with self._lock:
            self._held[folder] = self._held.get(folder, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._held[folder] -= 1
                if not self._held[folder]:
                    del self._held[folder]

    def remove(self, folder: Path) -> None:
        """Remove a sub-folder and what lies in it."""
        if folder.parent == self.root:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, max_age: float, *, now: float | None = None) -> int:
        """Remove what nobody has used for a while.

        Args:
            max_age: In seconds.
            now: Time since the epoch; None for the clock's.

        Returns:
            How many files and folders of the first level went.
        """
        limit, count = (time.time() if now is None else now) - max_age, 0
        for entry in list(os.scandir(self.root)) if self.root.is_dir() else []:
            path = Path(entry.path)
            with self._lock:
                is_held = path in self._held
            if is_held or path.name == MARK_NAME or _last_use(path) > limit:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            count += 1
        return count

    def used_bytes(self) -> int:
        """What all files of the store take."""
        return sum(_size(os.path.join(folder, name)) for folder, _, names in os.walk(self.root) for name in names)

    def close(self) -> None:
        """Remove the folder with everything in it."""
        if self._mark is not None:
            os.close(self._mark)
            self._mark = None
        shutil.rmtree(self.root, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of pages that were killed: their marks are locked by nobody."""
    if os.name == "nt":
        return  # an open file cannot be removed there, and nobody else's temporary files lie in the folder
    for mark in parent.glob(f"{FOLDER_PREFIX}*/{MARK_NAME}"):
        try:
            descriptor = os.open(mark, os.O_RDWR)
        except OSError:
            continue  # somebody else's
        try:
            if _lock(descriptor):
                shutil.rmtree(mark.parent, ignore_errors=True)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock an open file without waiting, where there are locks; the system lets go of it when the process ends."""
    if os.name == "nt":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _last_use(path: Path) -> float:
    """When a file, or anything directly in a folder, was last written or touched; 0 where it has gone meanwhile."""
    times = [0.0]
    for one in (path, *(path.iterdir() if path.is_dir() else ())):
        try:
            times.append(os.lstat(one).st_mtime)
        except OSError:
            continue
    return max(times)


def _size(path: str) -> int:
    """Bytes of a file; 0 where it has gone meanwhile."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def safe_name(name: str) -> str:
    """A file's name that is one on every system: no folders, no control characters, no leading dots, not too long.

    Args:
        name: As a visitor gave it; of a path the last part counts.
    """
    last = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])  # as macOS compares names
    plain = "".join(letter if _is_harmless(letter) else "_" for letter in last).strip(" .")
    stem, dot, suffix = plain.rpartition(".")
    stem, suffix = (stem, f".{suffix}") if dot and len(suffix) <= 8 else (plain, "")
    while len(os.fsencode(stem + suffix)) > MAX_STORED_NAME_BYTES:
        stem = stem[:-1]
    stem = stem.rstrip(" .") or "picture"
    first, dot, rest = stem.partition(".")  # a device with any suffix is still the device
    return f"{first}_{dot}{rest}{suffix}" if first.strip().upper() in RESERVED else stem + suffix


def _is_harmless(letter: str) -> bool:
    """Whether a character may stand in a name: vowel signs and accents are marks, and no letters by themselves."""
    return letter in HARMLESS_SIGNS or unicodedata.category(letter)[0] in "LMN"


def distinct_names(names: list[str]) -> list[str]:
    """Safe names, none equal to another even where case is not told apart: the second "a.png" becomes "a-2.png"."""
    taken: set[str] = set()
    distinct = []
    for name in map(safe_name, names):
        path, number, candidate = Path(name), 1, name
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{path.stem}-{number}{path.suffix}"
        taken.add(candidate.casefold())
        distinct.append(candidate)
    return distinct
