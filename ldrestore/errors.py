"""Every error that ldrestore raises on purpose, in one tree.

```
LDRestoreError
├── InputError (ValueError)          an argument is wrong
│   ├── ShapeError                   a tensor or array has the wrong shape
│   ├── ConfigError                  a configuration has an unknown key or a value out of range
│   ├── ScoreError                   a metric refuses a picture, or gives no number for it
│   └── UnknownNameError             a name that no registry knows; the message offers the closest ones
├── ImageFileError (OSError)         a picture cannot be read or written; names file, reason and remedy
│   ├── ImageNotFoundError           nothing lies at the path
│   ├── UnsupportedFormatError       not a picture, or a format outside the allow-list
│   ├── CorruptImageError            truncated or damaged
│   ├── ImageTooLargeError           the header announces more pixels than the limit
│   ├── PixelRangeError              float pixels outside [0, 1] or not finite
│   ├── ImageWriteError              the target cannot be written
│   └── OutputExistsError            the target exists and overwriting was not asked for
├── DatasetError                     a picture or pair of a data set cannot be used; names the file and the remedy
│   └── MissingSetError (InputError) a benchmark's set does not lie where it is looked for; a call for it is wrong
├── LoaderError                      a process that loads pictures for training died
├── OtherProcessError                another process of a run failed, and says why
├── RunCancelledError                whoever asked for the work has called it off
├── WeightsError                     a checkpoint does not fit, or is damaged
│   ├── UndefinedNumbersError        a model gives infinite or undefined numbers
│   └── WeightsUnavailableError      a checkpoint cannot be found or downloaded
│       └── UnknownModelError (InputError) a name that is neither a model's nor a folder's
├── EmbeddingCacheError              a cache of embeddings is missing, damaged, or cannot be written
│   ├── OtherGuideError (InputError) its embeddings are another guide's, or have another shape
│   └── MissingEmbeddingError        it holds no embedding of the picture
├── RecordError                      the record of a result is missing or damaged
├── StatisticsError                  a tile took another way through a network than the picture it is part of
├── UploadError                      the Hub does not take a model
├── ExportError                      a network cannot be exported, or the export cannot be written
├── OutOfMemoryError (MemoryError)   even the smallest tile does not fit the memory
└── MissingExtraError (ImportError)  an optional package is needed; names the extra to install
```
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FULL_ERRORS = frozenset({28, 122})
"""Numbers of the system's errors for a full disk, and for a used up share of one."""


def printable(text: object) -> str:
    r"""A text, such as a file's name, on one line that does nothing to a terminal or a log.

    Control characters, line breaks and what turns the direction of writing become escapes such as \n and \x1b;
    bytes of a name that is no UTF-8 become \xff.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in plain)


def _escaped(letter: str) -> str:
    """The escape of one character."""
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def _remade(kind: type["LDRestoreError"], message: str, state: dict[str, Any]) -> "LDRestoreError":
    """An error that came from another process."""
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class LDRestoreError(Exception):
    """Base of every error that ldrestore raises on purpose; all of them pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        """How another process makes it again, whatever arguments its class takes."""
        return _remade, (type(self), str(self), dict(self.__dict__))


class InputError(LDRestoreError, ValueError):
    """An argument is wrong; the message says what was expected, what came and what to do."""


class ShapeError(InputError):
    """A tensor or array has the wrong shape."""


class ConfigError(InputError):
    """A configuration has an unknown key, a missing one, or a value out of range."""


class ScoreError(InputError):
    """A metric refuses a picture, or gives no number for it."""


class UnknownNameError(InputError):
    """A name that no registry knows."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Build the message, with the closest known names first.

        Args:
            kind: What was looked up, e.g. "regressor".
            name: The unknown name.
            known: All known names of that kind.
        """
        names = sorted(known)
        plain = {each.lower(): each for each in names}
        close = [plain[each] for each in difflib.get_close_matches(name.lower(), plain, n=3, cutoff=0.4)]
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(names)}"
        super().__init__(f"unknown {kind} {name!r}; {hint}")


class ImageFileError(LDRestoreError, OSError):
    """A picture cannot be read or written.

    Attributes:
        path: The file.
        reason: What is wrong with it.
        remedy: What the user can do.
    """

    def __init__(self, path: str | Path, reason: str, remedy: str) -> None:
        """Build the message `path: reason; remedy`.

        Args:
            path: The file.
            reason: What is wrong with it.
            remedy: What the user can do.
        """
        self.path, self.reason, self.remedy = str(path), reason, remedy
        super().__init__(f"{printable(path)}: {printable(reason)}; {printable(remedy)}")


class ImageNotFoundError(ImageFileError):
    """Nothing lies at the path."""


class UnsupportedFormatError(ImageFileError):
    """Not a picture, or one of a format outside the allow-list."""


class CorruptImageError(ImageFileError):
    """The file is truncated or damaged."""


class ImageTooLargeError(ImageFileError):
    """The header announces more pixels than the limit."""


class PixelRangeError(ImageFileError):
    """Float pixels lie outside [0, 1] or are not finite."""


class ImageWriteError(ImageFileError):
    """The target cannot be written."""


class OutputExistsError(ImageFileError):
    """The target exists and overwriting was not asked for."""


class MetadataLossWarning(UserWarning):
    """Something that lies beside the pixels is left out: the same words for each picture, so that once is enough."""


class DatasetError(LDRestoreError):
    """A picture, or a pair of pictures, of a data set cannot be used; the message names the file and what to do."""


class MissingSetError(DatasetError, InputError):
    """Sets that a benchmark needs do not lie below the data root; a call that asks for them is wrong."""


class LoaderError(LDRestoreError):
    """A process that loads pictures for training died; the message says of what, and what to do."""


class OtherProcessError(LDRestoreError):
    """Another process of a run on several failed; that one says why, and this one ends without a word of its own."""


class RunCancelledError(LDRestoreError):
    """Whoever asked for the work has called it off; what was being made is left."""


class WeightsError(LDRestoreError):
    """A checkpoint does not fit its network, or is damaged."""


class UndefinedNumbersError(WeightsError):
    """A model gave infinite or undefined numbers."""


class WeightsUnavailableError(WeightsError):
    """A checkpoint cannot be found locally nor downloaded."""


class UnknownModelError(WeightsUnavailableError, InputError):
    """A name that no embedded model, no folder and no repository within reach has; a call with it is wrong."""


class EmbeddingCacheError(LDRestoreError):
    """A cache of embeddings is missing, damaged, or cannot be written."""


class OtherGuideError(EmbeddingCacheError, InputError):
    """The embeddings of a cache are another guide's than expected, or have another shape."""


class MissingEmbeddingError(EmbeddingCacheError):
    """A cache holds no embedding of the picture that was asked for."""


class RecordError(LDRestoreError):
    """The record of a result is missing, damaged, or another program's."""


class StatisticsError(LDRestoreError):
    """A tile took another way through a network than the whole picture, so that the two share no statistics."""


class UploadError(LDRestoreError):
    """The Hub does not take a model; the message says why, and what to do."""


class ExportError(LDRestoreError):
    """A network cannot be exported, computes something else when it is, or the file cannot be written."""


class OutOfMemoryError(LDRestoreError, MemoryError):
    """Even the smallest tile of the ladder does not fit the memory."""


class MissingExtraError(LDRestoreError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        """Build the message with the command that installs the extra.

        Args:
            package: The package that is missing.
            extra: The extra of ldrestore that brings it.
            purpose: What it is needed for, e.g. "to read HEIF files".
        """
        super().__init__(f"{package} is needed {purpose}; install it with: pip install 'ldrestore[{extra}]'")
