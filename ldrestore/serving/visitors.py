"""Who has the page open: their folders, and what each of them has called off."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from ldrestore.serving.temporary_store import TemporaryStore


@dataclass(slots=True)
class _Visitor:
    """One open page."""

    last_call: int = 0
    cancelled_up_to: int = 0
    folders: dict[str, Path] = field(default_factory=dict)


class Visitors:
    """All open pages, by gradio's name of their session; used from many threads."""

    def __init__(self, store: TemporaryStore) -> None:
        """Begin with none.

        Args:
            store: Where their folders lie.
        """
        self._store = store
        self._visitors: dict[str, _Visitor] = {}
        self._lock = threading.Lock()

    def begin(self, session: str) -> int:
        """The number of a call that begins now, from 1."""
        with self._lock:
            visitor = self._visitors.setdefault(session, _Visitor())
            visitor.last_call += 1
            return visitor.last_call

    def cancel(self, session: str) -> None:
        """Call off everything that a visitor has begun."""
        with self._lock:
            visitor = self._visitors.setdefault(session, _Visitor())
            visitor.cancelled_up_to = max(visitor.cancelled_up_to, visitor.last_call)

    def is_cancelled(self, session: str, call: int) -> bool:
        """Whether a call was called off, or its visitor has gone."""
        with self._lock:
            visitor = self._visitors.get(session)
            return visitor is None or call <= visitor.cancelled_up_to

    def new_folder(self, session: str, purpose: str) -> Path:
        """A folder for what a visitor is about to get, in place of the one for the same purpose before.

        Raises:
            OSError: the disk is full.
        """
        folder = self._store.new_folder()
        with self._lock:
            visitor = self._visitors.setdefault(session, _Visitor())
            before = visitor.folders.pop(purpose, None)
            visitor.folders[purpose] = folder
        if before is not None:
            self._store.remove(before)
        return folder

    def keep_folder(self, session: str, purpose: str, *, as_purpose: str) -> None:
        """Let what lies in a folder take the place of what was kept for another purpose before.

        Args:
            session: The visitor's.
            purpose: The folder was made for; nothing happens where there is none, as when the visitor has gone.
            as_purpose: What it is kept for from now on.
        """
        with self._lock:
            folders = {} if session not in self._visitors else self._visitors[session].folders
            before = folders.pop(as_purpose, None) if purpose in folders else None
            if purpose in folders:
                folders[as_purpose] = folders.pop(purpose)
        if before is not None:
            self._store.remove(before)

    def remove_folder(self, session: str, purpose: str) -> None:
        """Remove what a visitor has been given for a purpose, where there is something."""
        with self._lock:
            visitor = self._visitors.get(session)
            folder = None if visitor is None else visitor.folders.pop(purpose, None)
        if folder is not None:
            self._store.remove(folder)

    def end(self, session: str) -> None:
        """Forget a visitor who has gone; what was begun for them ends, and their folders go."""
        with self._lock:
            visitor = self._visitors.pop(session, None)
        for folder in () if visitor is None else visitor.folders.values():
            self._store.remove(folder)
