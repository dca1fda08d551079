"""Scores of finished pictures against their ground truth: one pair, or two folders matched by stem."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ldrestore.errors import (
    ImageFileError,
    InputError,
    MissingExtraError,
    ScoreError,
    ShapeError,
    UnknownNameError,
    WeightsUnavailableError,
)
from ldrestore.images.files import is_image_path, read_photo
from ldrestore.images.inputs import ImageInput, to_photo
from ldrestore.images.photo import Photo
from ldrestore.metrics.catalog import DECIBELS, MetricRecord, find_metric
from ldrestore.metrics.compared_pictures import ComparedPictures, bring_together
from ldrestore.metrics.consistency import beside_input
from ldrestore.metrics.measures import Measure, MetricOptions, ToolboxMeasure, value_of
from ldrestore.metrics.protocols import UINT8, Protocol, find_protocol
from ldrestore.metrics.set_distances import Loader, SetMeasure
from ldrestore.registry import resolve


class Scores(dict[str, float]):
    """Metric to value; and why some have none.

    Attributes:
        protocol: Name of the protocol that they were computed by.
        unavailable: Metric to the reason why it could not be computed, with the way to get it.
    """

    def __init__(self, values: Mapping[str, float], *, protocol: str, unavailable: Mapping[str, str]) -> None:
        """Keep values and reasons."""
        super().__init__(values)
        self.protocol, self.unavailable = protocol, dict(unavailable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoreboard:
    """Scores of all pictures of two folders."""

    protocol: Protocol
    """By which they were computed."""
    pictures: Mapping[str, Mapping[str, float]]
    """Stem to metric to value."""
    set_values: Mapping[str, float]
    """Metrics of whole sets."""
    set_pictures: int
    """Pairs that those are of; 0 where none was asked for."""
    unavailable: Mapping[str, str]
    """Metric to the reason why it could not be computed."""
    failures: Mapping[str, str]
    """Stem to the reason why a picture has no scores, or not all."""

    @property
    def means(self) -> dict[str, float]:
        """Metric to the mean over the pictures that have it; a PSNR counts at most the protocol's cap."""
        metrics = dict.fromkeys(name for values in self.pictures.values() for name in values)
        means = {}
        for name in metrics:
            cap = self.protocol.psnr_cap if name in DECIBELS else math.inf
            values = [min(values[name], cap) for values in self.pictures.values() if name in values]
            means[name] = float(np.mean(values))
        return means | dict(self.set_values)

    def document(self) -> dict[str, Any]:
        """What `--json` prints; an infinite PSNR is "inf"."""
        return {
            "protocol": self.protocol.name,
            "means": _plain(self.means),
            "pictures": {stem: _plain(values) for stem, values in self.pictures.items()},
            "unavailable": dict(self.unavailable),
            **({"set_pictures": self.set_pictures} if self.set_values else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerMetrics:
    """Metrics that hold a result against one and the same picture."""

    is_input: bool
    """Whether that is the input, not the ground truth."""
    names: tuple[str, ...]
    """Of the metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedMetrics:
    """Metrics that are ready to compute, and those that are not."""

    pairs: Mapping[str, Measure]
    """Of one picture each."""
    sets: Mapping[str, SetMeasure]
    """Of all pictures at once."""
    unavailable: Mapping[str, str] = field(default_factory=dict)
    """Metric to the reason."""
    records: Mapping[str, MetricRecord] = field(default_factory=dict)
    """All of them by name; of other toolboxes with which way is better, as far as they could be opened."""

    def by_partner(self, names: Collection[str] | None = None) -> "Iterator[PartnerMetrics]":
        """Metrics of one picture each by what it is held against, those of them that are named; none, no part."""
        for is_input in (False, True):
            part = tuple(
                name
                for name in self.pairs
                if (name in self.records and self.records[name].compares == "inputs") == is_input
                and (names is None or name in names)
            )
            if part:
                yield PartnerMetrics(is_input=is_input, names=part)


def find_metrics(names: Sequence[str], *, weights: Mapping[str, Path] | None = None) -> dict[str, MetricRecord]:
    """The records of metrics; nothing is opened, so that a slip is found before long work.

    Args:
        names: Of metrics.
        weights: Name of a metric to a file of its weights.

    Raises:
        UnknownNameError: a metric or a toolbox that nobody knows, or weights of a metric that is not named.
    """
    found = {name: find_metric(name) for name in dict.fromkeys(names)}
    for name in weights or {}:
        if name not in found:
            raise UnknownNameError("metric of --weights", name, names)
    return found


def open_metrics(
    names: Sequence[str], *, weights: Mapping[str, Path] | None = None, device: str = "cpu"
) -> OpenedMetrics:
    """Make metrics ready; one that cannot be had keeps its reason, and the others are opened.

    Args:
        names: Of metrics.
        weights: Name of a metric to a file of its weights.
        device: Where networks compute.

    Raises:
        UnknownNameError: a metric or a toolbox that nobody knows, or weights of a metric that is not named.
    """
    found = find_metrics(names, weights=weights)
    opened: dict[str, dict[str, Any]] = {"pairs": {}, "sets": {}}
    unavailable = {}
    for record in tuple(found.values()):
        try:
            measure = _opened(record, weights or {}, device)
        except (MissingExtraError, WeightsUnavailableError) as error:
            unavailable[record.name] = str(error)
            continue
        opened["sets" if record.compares == "sets" else "pairs"][record.name] = measure
        found[record.name] = _described(record, measure)
    return OpenedMetrics(**opened, unavailable=unavailable, records=found)


def score(
    result: ImageInput,
    gt: ImageInput,
    metrics: Sequence[str] | None = None,
    *,
    protocol: str | Protocol = UINT8,
    weights: Mapping[str, Path] | None = None,
    device: str = "cpu",
) -> Scores:
    """Scores of one picture against its ground truth.

    Args:
        result: A path, PIL, numpy or torch picture, as `ldrestore.restore` takes them.
        gt: The ground truth, of the same size; the input for `consistency`.
        metrics: Names, see `ldrestore.metrics.catalog`; also `piq:NAME` and `iqa:NAME`. None takes the protocol's.
        protocol: Name or record, see `ldrestore.metrics.protocols`.
        weights: Name of a metric to a file of its weights.
        device: Where networks compute.

    Returns:
        Metric to value, those that cannot be had left out: their reasons are in `.unavailable`. The PSNR of equal
        pictures is infinite.

    Raises:
        UnknownNameError: a metric or protocol that nobody knows.
        InputError: a metric of whole sets, such as FID.
        ShapeError: the pictures differ in size.
        ScoreError: they are too small for a metric, or it gives no number.
        ImageFileError: a file cannot be read.
    """
    protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
    names = list(metrics) if metrics is not None else _of_pairs(protocol.metrics)
    for name in names:
        if find_metric(name).compares == "sets":
            raise InputError(f"{name} compares whole folders, not two pictures; use: ldrestore score RESULTS GT")
    opened = open_metrics(names, weights=weights, device=device)
    photos = to_photo(result), to_photo(gt)
    values: dict[str, float] = {}
    for part in opened.by_partner():
        pictures = bring_in_line(*photos, protocol, is_input=part.is_input)
        values |= {name: value_of(name, opened.pairs[name], pictures) for name in part.names}
    return Scores({name: values[name] for name in opened.pairs}, protocol=protocol.name, unavailable=opened.unavailable)


def score_paths(results: Path, gt: Path, *, protocol: Protocol, opened: OpenedMetrics) -> Scoreboard:
    """Scores of two files, or of two folders matched by stem; a picture that fails is named, and the rest goes on.

    Args:
        results: A file or a folder, searched recursively.
        gt: The ground truth, likewise; inputs for `consistency`.
        protocol: How pictures are compared.
        opened: What is computed.

    Raises:
        InputError: a file and a folder; nothing there; an empty folder; two files of one stem; no stem in common.
    """
    pairs, failures = match_files(results, gt)
    pictures: dict[str, dict[str, float]] = {}
    for stem, (result, truth) in pairs.items():
        values, problems = _scored(result, truth, protocol, opened)
        if values or not problems:
            pictures[stem] = values
        if problems:
            failures[stem] = "; ".join(problems)
    together, problems_of_sets = _brought_together(pairs, protocol) if opened.sets else ([], {})
    for stem, problem in problems_of_sets.items():
        if problem not in failures.get(stem, ""):
            failures[stem] = "; ".join(part for part in (failures.get(stem), problem) if part)
    whole, unavailable = _scored_sets(together, protocol, opened)
    return Scoreboard(
        protocol=protocol,
        pictures=pictures,
        set_values=whole,
        set_pictures=len(together),
        unavailable={**opened.unavailable, **unavailable},
        failures=failures,
    )


def bring_in_line(
    result: Photo, partner: Photo, protocol: Protocol, *, is_input: bool, name: str | None = None
) -> ComparedPictures:
    """A result beside what it is held against.

    Args:
        result: What is judged.
        partner: The ground truth, or the input.
        protocol: How they are compared.
        is_input: Which of them it is.
        name: Of the picture, for warnings.

    Raises:
        ShapeError: the two cannot be compared.
    """
    if is_input:
        return beside_input(result, partner, protocol)
    return bring_together(result, partner, protocol, name=name)


def _opened(record: MetricRecord, weights: Mapping[str, Path], device: str) -> Any:
    """What a record's target gives."""
    return resolve(record.target)(MetricOptions(name=record.name, weights=weights, device=device))


def _described(record: MetricRecord, measure: Measure | SetMeasure) -> MetricRecord:
    """The record of an opened metric, with what its toolbox says of it."""
    if not isinstance(measure, ToolboxMeasure):
        return record
    compares: Literal["pairs", "results"] = "pairs" if measure.needs_gt else "results"
    return replace(record, lower_is_better=measure.lower_is_better, compares=compares)


def _of_pairs(names: Sequence[str]) -> list[str]:
    """Those that one pair of pictures has."""
    return [name for name in names if find_metric(name).compares != "sets"]


def _scored(result: Path, gt: Path, protocol: Protocol, opened: OpenedMetrics) -> tuple[dict[str, float], list[str]]:
    """Values of one pair of files, and what went wrong."""
    values: dict[str, float] = {}
    problems: list[str] = []
    try:
        photos = read_photo(result), read_photo(gt)
    except ImageFileError as error:
        return values, [str(error)]
    for part in opened.by_partner():
        try:
            pictures = bring_in_line(*photos, protocol, is_input=part.is_input, name=result.name)
        except ShapeError as error:
            problems.append(str(error))
            continue
        for name in part.names:
            try:
                values[name] = value_of(name, opened.pairs[name], pictures)
            except ScoreError as error:
                problems.append(str(error))
    return values, problems


def _brought_together(
    pairs: Mapping[str, tuple[Path, Path]], protocol: Protocol
) -> tuple[list[tuple[Path, Path]], dict[str, str]]:
    """The pairs that metrics of whole sets take, whatever others make of them; stem to what is wrong with one."""
    together, problems = [], {}
    for stem, (result, gt) in pairs.items():
        try:
            bring_together(read_photo(result), read_photo(gt), protocol, name=result.name)
        except (ImageFileError, ShapeError) as error:
            problems[stem] = str(error)
            continue
        together.append((result, gt))
    return together, problems


def _scored_sets(
    pairs: Sequence[tuple[Path, Path]], protocol: Protocol, opened: OpenedMetrics
) -> tuple[dict[str, float], dict[str, str]]:
    """Values of metrics of whole sets, and why some have none."""
    values, unavailable = {}, {}
    loaders = [(_loader(*pair, protocol, "result"), _loader(*pair, protocol, "gt")) for pair in pairs]
    for name, measure in opened.sets.items():
        try:
            values[name] = measure(loaders)
        except InputError as error:
            unavailable[name] = str(error)
    return values, unavailable


def _loader(result: Path, gt: Path, protocol: Protocol, side: str) -> Loader:
    """Reads one side of a pair as the protocol compares it, rounded to 8 bits."""

    def load() -> np.ndarray:
        pictures = bring_together(read_photo(result), read_photo(gt), protocol)
        return np.rint(getattr(pictures, side)).astype(np.uint8)

    return load


def match_files(results: Path, gt: Path) -> tuple[dict[str, tuple[Path, Path]], dict[str, str]]:
    """Stem to the files of a pair, and stem to the reason of those that have no partner.

    Raises:
        InputError: see `score_paths`.
    """
    for path in (results, gt):
        if not path.exists():
            raise InputError(f"nothing lies at {path}; give two pictures or two folders")
    if results.is_dir() != gt.is_dir():
        raise InputError(f"{results} and {gt} are a file and a folder; give two pictures or two folders")
    if not results.is_dir():
        return {results.stem: (results, gt)}, {}
    ours, truths = _by_stem(results), _by_stem(gt)
    pairs = {stem: (ours[stem], truths[stem]) for stem in sorted(ours.keys() & truths.keys())}
    if not pairs:
        examples = f"{next(iter(ours.values())).name} and {next(iter(truths.values())).name}"
        raise InputError(f"no picture of {results} has its stem in {gt}, such as {examples}; name them alike")
    failures = {stem: f"has no ground truth of its stem in {gt}" for stem in sorted(ours.keys() - truths.keys())}
    failures |= {stem: f"has no result of its stem in {results}" for stem in sorted(truths.keys() - ours.keys())}
    return pairs, failures


def _by_stem(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their path within it, without suffix.

    Raises:
        InputError: there is none, or two differ in their suffix alone.
    """
    paths: dict[str, Path] = {}
    for path in _pictures_of(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in paths:
            raise InputError(f"{paths[stem]} and {path} have the same stem; keep one of them")
        paths[stem] = path
    if not paths:
        raise InputError(f"no pictures below {folder}; give a folder that holds some")
    return paths


def _pictures_of(folder: Path) -> Iterator[Path]:
    """Picture files below a folder, sorted; hidden files and folders, whose names begin with a dot, are left out."""
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not is_hidden and path.is_file() and is_image_path(path):
            yield path


def _plain(values: Mapping[str, float]) -> dict[str, Any]:
    """Values as JSON has them."""
    return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
