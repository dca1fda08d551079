"""A result made again from its record: the same pixels, or what differs between then and now."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from ldrestore.errors import ImageFileError, InputError, LDRestoreError, MissingExtraError, RecordError, printable
from ldrestore.images.files import is_image_path, read_photo
from ldrestore.images.headers import read_size
from ldrestore.images.photo import Photo
from ldrestore.options import MAX_SCALE, Recorded, RestoreOptions, declared_options, make_options
from ldrestore.records import hash_of_pixels, read_record
from ldrestore.restorers import device_of, load_restorer
from ldrestore.tracks import checked_options, options_class_of, pipeline_name, track_of
from ldrestore.weights.hashes import hash_of_file

MOST_LOOKED_AT = 64
"""So many pictures of the input's size are read in search of the input."""

MOST_THREADS = 4096
"""More of them no machine has; a process that begins them ends."""
RECORD_SUFFIX = ".json"

TOLD_APART = frozenset({"output_sha256", "file"})
"""Entries of a record that say what came out; the others say how."""


class FileState(StrEnum):
    """How a result's file stands to its record."""

    INTACT = "as it was written"
    SAME_PIXELS = "changed since, but not its pixels"
    OTHER_PIXELS = "not what was written: its pixels were changed, or its format does not keep them"
    UNKNOWN = "not compared: its format does not keep all pixels, and the record tells no hash of the file"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDifference:
    """One entry of a record that is another one now."""

    name: str
    """Path of the entry, such as "packages.torch"."""
    recorded: Any
    """What the record says."""
    present: Any
    """What it is now; None where there is no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What became of a replay."""

    result: Path
    """The picture whose record was replayed."""
    source: Path | None
    """The input that it was made of; None where none was found."""
    file_state: FileState
    """Whether the result's file still is what was written."""
    is_reproduced: bool
    """Whether the pixels came out as recorded, by their hash."""
    differences: tuple[RecordDifference, ...]
    """What is another than the record says, most telling first; pixels may come out equal all the same."""
    reason: str | None = None
    """Why nothing was computed; None where something was."""
    photo: Photo | None = None
    """What came out; None where nothing was computed."""
    record: Mapping[str, Any] | None = None
    """How it was made this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What a record does not hold, for it knows no paths."""

    source: str | Path | None = None
    """The input; None to look for it beside the result, by its pixels."""
    model: str | None = None
    """Where the model is now; None for the name that the record tells."""
    base: str | None = None
    """Of adapters alone: where their base is now."""
    protect: Any = None
    """The mask, where there was one."""
    embedding: str | Path | None = None
    """The cache of embeddings, where there was one."""
    device: str | None = None
    """Where to compute; None for the recorded kind of device, or what this machine has."""
    max_pixels: int | None = None
    """The most pixels that are read of a picture; None for the default of `images.files`."""


def replay(result: str | Path, request: ReplayRequest | None = None, *, shows_progress: bool = False) -> Replay:
    """Make a result again as its record says, with as many threads, and compare the pixels by hash.

    A model is taken from this machine only: a record, which may be a stranger's, fetches nothing.

    Args:
        result: The picture, beside which the record lies.
        request: What the record does not hold.
        shows_progress: Whether the pipeline draws bars of its own, in a terminal.

    Returns:
        Whether the pixels are the same, and everything that is another one now.

    Raises:
        RecordError: there is no record, it is damaged, or it was named in place of its picture.
        InputError: a mask or a cache was used, and is not given; or it is another one.
        ImageFileError: the input cannot be read.
        WeightsError: the model is not on this machine, or damaged.
    """
    result, request = Path(result), request or ReplayRequest()
    if result.suffix.lower() == RECORD_SUFFIX:
        raise RecordError(f"{printable(result)} is a record; name the picture that it lies beside")
    record = read_record(result)
    _check_numbers(record)
    state = file_state(result, record)
    source = find_input(result, record) if request.source is None else Path(request.source)
    nothing = Replay(result=result, source=source, file_state=state, is_reproduced=False, differences=())
    if source is None:
        reason = "no picture beside the result has the pixels of its input; name it with --input"
        return replace(nothing, reason=reason)
    photo = read_photo(source, max_pixels=request.max_pixels, clip=True)  # floats in [0, 1] are not changed by it
    present = hash_of_pixels(photo.pixels, photo.alpha)
    if present != record["input_sha256"]:
        difference = RecordDifference(name="input_sha256", recorded=record["input_sha256"], present=present)
        reason = f"{printable(source)} is not the picture that this result was made of: its pixels are others"
        return replace(nothing, differences=(difference,), reason=reason)
    with _threads(record["runtime"].get("threads")):  # onnxruntime takes their number as it loads
        pipeline: Any = _load(record, request)
        pipeline.set_progress_bar_config(disable=None if shows_progress else True)
        options = checked_options(pipeline, _options_of(record, pipeline, request))
        output = pipeline.restore(photo, replace(options, output_type="photo"))
    again = output.records[0]
    return replace(
        nothing,
        is_reproduced=again["output_sha256"] == record["output_sha256"],
        differences=tuple(_differences(record, again)),
        photo=output.photos[0],
        record=again,
    )


def _check_numbers(record: Mapping[str, Any]) -> None:
    """Refuse numbers that cannot be before anything is done with them: a record may be a stranger's.

    Raises:
        RecordError: one of them cannot.
    """
    numbers = (
        ("scale", record["options"].get("scale", 1), MAX_SCALE),
        ("threads", record["runtime"].get("threads", 1), MOST_THREADS),
        ("memory_bytes", record["tile_plan"].get("memory_bytes") or 1, math.inf),
    )
    for name, value, most in numbers:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            raise RecordError(
                f"the record holds an option that cannot be ({name} is {value!r:.40}); restore the picture anew"
            )


def file_state(result: Path, record: Mapping[str, Any]) -> FileState:
    """Whether a result's file is what was written, by its own hash, else by the hash of its pixels.

    Raises:
        ImageFileError: the file cannot be read.
    """
    written = record.get("file")
    if isinstance(written, dict) and result.is_file() and written.get("sha256") == hash_of_file(result):
        return FileState.INTACT
    photo = read_photo(result)
    if hash_of_pixels(photo.pixels, photo.alpha) == record["output_sha256"]:
        return FileState.SAME_PIXELS if isinstance(written, dict) else FileState.INTACT
    return FileState.OTHER_PIXELS if isinstance(written, dict) else FileState.UNKNOWN


def find_input(result: Path, record: Mapping[str, Any]) -> Path | None:
    """The picture that a result was made of, told by its pixels: beside it, or of its name above or in a folder beside.

    Args:
        result: The picture that was made.
        record: How.

    Returns:
        None where there is none, or too many pictures of its size lie before it.
    """
    try:
        width, height = read_size(result)
    except (LDRestoreError, OSError):
        return None
    scale = record["options"].get("scale", 1)
    looked_at = 0
    for path in _candidates(result):
        try:
            if tuple(side * scale for side in read_size(path)) != (width, height):
                continue
            looked_at += 1
            photo = read_photo(path, clip=True)
        except (ImageFileError, MissingExtraError):
            continue
        if hash_of_pixels(photo.pixels, photo.alpha) == record["input_sha256"]:
            return path
        if looked_at >= MOST_LOOKED_AT:
            return None
    return None


def _candidates(result: Path) -> Iterator[Path]:
    """Pictures in the result's folder; those of its name one above, in folders beside, or below such a one as deep."""
    folder = result.absolute().parent
    yield from (path for path in sorted(folder.iterdir()) if path != folder / result.name and _is_picture(path))
    places = [folder.parent, *_listed(folder.parent), *(other / folder.name for other in _listed(folder.parent.parent))]
    for place in places:
        yield from (path for path in _listed(place) if path.stem == result.stem and _is_picture(path))


def _listed(folder: Path) -> list[Path]:
    """What a folder holds, sorted; nothing where it cannot be listed."""
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder))
    except OSError:
        return []


def _is_picture(path: Path) -> bool:
    """Whether a file may be read as one."""
    return is_image_path(path) and path.is_file()


def _load(record: Mapping[str, Any], request: ReplayRequest) -> Any:
    """The model of a record, from this machine.

    Raises:
        RecordError: the record names none.
        WeightsError: it is not here, or damaged.
    """
    name = request.model or record["model"].get("name")
    if not isinstance(name, str) or not name:
        raise RecordError("the record names no model; name its folder with --model")
    runtime = record["runtime"]
    engine = str(runtime.get("engine", "local"))
    try:
        device = device_of(request.device or str(runtime.get("device", "auto")))
    except InputError:
        if request.device is not None:
            raise
        device = device_of("auto")
    is_local = request.model is None
    return load_restorer(
        name,
        base=request.base,
        device=device,
        dtype=str(runtime.get("dtype", "float32")),
        engine=engine,
        local_files_only=is_local,
    )


def _options_of(record: Mapping[str, Any], pipeline: Any, request: ReplayRequest) -> RestoreOptions:
    """The options of a record, with the tiles that it tells.

    Raises:
        InputError: a mask or a cache was used, and is not given.
        RecordError: an option has a value that it cannot have.
    """
    track, recorded = track_of(pipeline), record["options"]
    given: dict[str, Any] = {"clip": True, **_tiles_of(record["tile_plan"])}
    for option in declared_options(options_class_of(track)):
        if option.recorded is Recorded.HASH:
            if recorded.get(f"{option.name}_sha256") is None:
                continue
            given[option.name] = getattr(request, option.name, None)
            flag = option.name if option.flag is None else option.flag.name
            if given[option.name] is None:
                raise InputError(f"this result was made with {flag}, which no record holds; give it again with {flag}")
        elif option.recorded is None and option.name in recorded:
            given[option.name] = recorded[option.name]
    try:
        return make_options(options_class_of(track), given, owner=pipeline_name(track))
    except (TypeError, InputError) as error:
        raise RecordError(f"the record holds an option that cannot be ({error}); restore the picture anew") from error


def _tiles_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The options that lead to a recorded plan; where memory ran out then, its last tiles at once."""
    tile, memory = plan.get("tile", 0), plan.get("memory_bytes")
    if memory is not None and not plan.get("steps_down"):
        return {"tile": "auto", "memory_gb": memory / 1e9}
    return {"tile": tile or "off"}


@contextmanager
def _threads(number: object) -> Iterator[None]:
    """Compute with as many threads as then; what came before is restored."""
    before = torch.get_num_threads()
    if isinstance(number, int) and number > 0:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _differences(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[RecordDifference]:
    """Entries of a record that are others now; what an older record did not tell is not compared."""
    now = dict(_entries(present))
    for name, value in _entries(recorded):
        if name.partition(".")[0] not in TOLD_APART and now.get(name) != value:
            yield RecordDifference(name=name, recorded=value, present=now.get(name))


def _entries(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and values of all entries of a record."""
    for name, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from _entries(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
