"""What is asked of every picture of a run; frozen, and it pickles, so that a page or a worker elsewhere can do it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ldrestore.errors import InputError
from ldrestore.options import RestoreOptions, make_options
from ldrestore.restorers import find_track
from ldrestore.tracks import check_taken, options_class_of, pipeline_name


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """A model, what it is asked, and how results are written; see `restorers.load_restorer` for the first fields."""

    model: str = "default"
    """Name, folder, repository or exported file."""
    base: str | None = None
    """Of adapters alone."""
    device: str = "auto"
    """Where it computes."""
    dtype: str = "float32"
    """Number format of its networks."""
    engine: str = "local"
    """What computes."""
    options: RestoreOptions = field(default_factory=RestoreOptions)
    """Of the model's track; see `make_request`."""
    quality: int = 95
    """Of JPEG and WebP results, 1 to 100."""
    max_pixels: int | None = None
    """The most pixels that are read of a picture; None for the default of `images.files`."""
    has_record: bool = True
    """Whether a record is written beside each result."""
    has_changes: bool = False
    """Whether a map of what was changed is written beside each result, see `ldrestore.images.changes`."""
    has_thumbnails: bool = False
    """Whether small pictures are made for a report, see `ldrestore.jobs.contact_sheet`."""
    may_overwrite: bool = False
    """Whether existing results are written again."""

    def __post_init__(self) -> None:
        """Check what no model needs to be loaded for.

        Raises:
            InputError: the quality is out of range.
        """
        if not 1 <= self.quality <= 100:
            raise InputError(f"quality must lie in [1, 100], got {self.quality}")


def options_for(model: str, given: Mapping[str, Any], *, base: str | None = None) -> RestoreOptions:
    """The options of a model's track, of what was given by name.

    Args:
        model: Name, folder, repository or exported file; not loaded yet.
        given: Keyword of the pipelines' calls to value.
        base: Of adapters alone.

    Raises:
        InputError: the track takes no such option.
        WeightsUnavailableError: no such model within reach.
        WeightsError: it is no model of a known track.
    """
    track = find_track(model, base)
    check_taken(track, given)
    return make_options(options_class_of(track), given, owner=pipeline_name(track))
