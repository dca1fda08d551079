"""What explains the models of a track, and what it finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ldrestore.errors import InputError
from ldrestore.images.photo import Photo
from ldrestore.options import RestoreOptions, declared_options, given_options


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What there is to write of a model and its pictures."""

    document: Mapping[str, Any]
    """Plain values, for JSON."""
    page: str
    """Markdown that shows the figures."""
    figures: Mapping[str, bytes]
    """File name, one of the track's record, to PNG."""


class Explainer(Protocol):
    """Explains one loaded model; a track's record names the class that is called with (pipeline, options).

    The call raises an InputError for options that the model does not take, and a MissingExtraError where a package
    that draws or lays out is not installed.
    """

    def explain(self, photo: Photo, *, gt: Photo | None, name: str) -> Finding:
        """One picture, restored and looked at on the way.

        Args:
            photo: The picture.
            gt: What it should look like, of its size.
            name: Of the picture, for the page.
        """
        ...

    def check_folder(self) -> None:
        """Refuse, before the first picture of a folder, a model with nothing to tell of many.

        Raises:
            InputError: it has nothing, or an option is given that many pictures do not take.
        """
        ...

    def look_at(self, photo: Photo, *, name: str) -> None:
        """Keep what the model sees in one of many pictures, which is not restored."""
        ...

    def report(self) -> Finding:
        """What was seen in all of them."""
        ...


def check_not_given(options: RestoreOptions, names: Sequence[str]) -> None:
    """Refuse options of the restoration where nothing is restored.

    Args:
        options: Of the call.
        names: Of those that are about restoring; all have a flag.

    Raises:
        InputError: one is given.
    """
    flags = {option.name: option.flag for option in declared_options(type(options))}
    given = [flags[name] for name in given_options(options) if name in names]
    named = [flag.name for flag in given if flag is not None]
    if named:
        raise InputError(
            f"{', '.join(named)}: of a folder nothing is restored; name one picture, or leave the option out"
        )
