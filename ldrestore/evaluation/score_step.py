"""The second step: stored results against their ground truth, without running a model.

Scores of one result lie at scores/CONTESTANT/DATASET/NAME-KEY.json; each carries a hash of all that it depends on: the
pixels of result and ground truth, the metric with its version and weights, and the protocol. A score whose hash is the
same is not computed again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ldrestore.config import as_plain
from ldrestore.errors import ImageFileError, InputError, ScoreError, ShapeError
from ldrestore.evaluation.environments import version_of_packages
from ldrestore.evaluation.picture_memory import PictureMemory
from ldrestore.evaluation.results import DATA_PREFIX, MetricRow, OutputRow, PictureRow, Results, SetScoreRow, located
from ldrestore.evaluation.shards import Shard
from ldrestore.evaluation.stored_files import (
    folder_name,
    hash_of_photo,
    key_of,
    picture_name,
    read_json_or_none,
    stamp_of,
    write_document,
)
from ldrestore.images.files import read_photo
from ldrestore.images.photo import Photo
from ldrestore.metrics.compared_pictures import bring_together
from ldrestore.metrics.measures import value_of
from ldrestore.metrics.metric_weights import path_of_weights
from ldrestore.metrics.protocols import Protocol
from ldrestore.metrics.scoring import OpenedMetrics, bring_in_line, open_metrics
from ldrestore.metrics.set_distances import Loader
from ldrestore.weights.hashes import hash_of_file

SCORES = "scores"
"""Folder of scores."""
FILES = "files"
"""Beside the scores of a result: the files that they are of, so that one that was overwritten since is noticed."""
TRUTHS_KEPT = 8
"""Ground truths in memory at a time: contestants follow each other on one picture, datasets on one scene."""
_PACKAGES = {
    "psnr": ("numpy",),
    "ssim": ("numpy",),
    "ms_ssim": ("numpy",),
    "consistency": ("numpy", "torch"),
    "niqe": ("numpy", "opencv-python-headless"),
    "st_lpips": ("torch", "stlpips-pytorch"),
    "fid": ("torch", "torch-fidelity"),
    "kid": ("torch", "torch-fidelity"),
    "piq": ("torch", "piq"),
    "iqa": ("torch", "pyiqa"),
}
"""What computes a metric beside ldrestore, by its name or its toolbox; torch for the others."""
_Group = tuple[str, str, int | None]
"""Contestant, dataset and seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStep:
    """What the step works on."""

    out_dir: Path
    """The folder of the benchmark."""
    data_root: Path | None
    """The folder that sets lie in."""
    protocol: Protocol
    """How pictures are compared."""
    metrics: Sequence[str]
    """What is computed."""
    weights: Mapping[str, Path]
    """Metric to a user's file of its weights."""
    device: str
    """Where networks compute."""
    shard: Shard
    """This process."""
    is_fresh: bool = False
    """Whether scores are computed again that are there, from the pictures."""
    memory: PictureMemory = field(default_factory=PictureMemory)
    """Pictures that this process has just stored, by the hash of their pixels; the others are read."""


def score_all(step: ScoreStep, results: Results, *, say: Callable[[str], None]) -> Results:
    """Score this process's share, wait for the others, and give the results with all scores.

    Args:
        step: What to compute.
        results: Pictures and outputs; their scores, if any, are dropped.
        say: Is told of metrics that cannot be had.

    Raises:
        UnknownNameError: no such metric.
        InputError: pictures lie below a data root that is not given.
    """
    opened = open_metrics(step.metrics, weights=step.weights, device=step.device)
    for name, reason in opened.unavailable.items():
        say(f"unavailable: {name}: {reason}")
    rows = [_metric_row(name, step, opened) for name in dict.fromkeys(step.metrics)]
    pictures = {(row.dataset, row.name): row for row in results.pictures}
    made = [row for row in results.outputs if row.path is not None]
    truths = _Truths(step)
    for output in step.shard.of(made):
        _score_output(step, output, pictures[output.dataset, output.picture], rows, opened, truths)
    step.shard.wait()
    outputs = tuple(
        _scored_row(step, output, pictures[output.dataset, output.picture], rows) if output.path is not None else output
        for output in results.outputs
    )
    scored = replace(results, outputs=outputs, metrics=tuple(rows), protocol=as_plain(step.protocol))
    return _with_set_scores(step, scored, opened) if step.shard.is_first else scored


def _metric_row(name: str, step: ScoreStep, opened: OpenedMetrics) -> MetricRow:
    """What is known of a metric."""
    record = opened.records[name]
    return MetricRow(
        name=name,
        compares=record.compares,
        lower_is_better=record.lower_is_better,
        digits=record.digits,
        source=record.source,
        version=version_of_packages("ldrestore", *_PACKAGES.get(name.partition(":")[0], ("torch",))),
        weights_sha256=_weights_hash(name, step),
        unavailable=opened.unavailable.get(name),
    )


def _weights_hash(name: str, step: ScoreStep) -> str | None:
    """SHA-256 of a metric's file of weights; None where it has none of ours or a user's."""
    path = step.weights.get(name) or path_of_weights(name)
    return hash_of_file(path) if path.is_file() else None


def _score_key(step: ScoreStep, output: OutputRow, picture: PictureRow, metric: MetricRow) -> str:
    """A hash of all that a score depends on."""
    return key_of(
        {
            "result": output.sha256,
            "gt": picture.lq_sha256 if metric.compares == "inputs" else picture.gt_sha256,
            "metric": metric.name,
            "version": metric.version,
            "weights": metric.weights_sha256,
            "protocol": as_plain(step.protocol),
        }
    )


def _score_place(step: ScoreStep, output: OutputRow) -> Path:
    """Where the scores of a result are kept."""
    folder = step.out_dir / SCORES / folder_name(output.contestant) / folder_name(output.dataset)
    key = key_of({"picture": output.picture, "sha256": output.sha256})  # names differ by less than their file names do
    return folder / picture_name(output.picture, key, ".json")


class _Truths:
    """Ground truths, read and checked once for results that follow each other."""

    def __init__(self, step: ScoreStep) -> None:
        self.step = step
        self._kept: dict[str, Photo] = {}

    def of(self, picture: PictureRow) -> Photo | None:
        """That of a picture; None where there is none.

        Raises:
            ImageFileError: it cannot be read.
            ShapeError: it has been changed.
        """
        if picture.gt is None:
            return None
        stored = self.step.memory.get(str(picture.gt_sha256))
        if stored is not None:
            return stored
        key = f"{picture.gt} {picture.gt_sha256}"
        if key not in self._kept:
            gt = read_photo(located(picture.gt, out_dir=self.step.out_dir, data_root=self.step.data_root))
            if hash_of_photo(gt) != picture.gt_sha256:
                raise ShapeError(
                    f"{picture.gt} is not the ground truth that the results are of; run the benchmark again"
                )
            while len(self._kept) >= TRUTHS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = gt
        return self._kept[key]


def _score_output(
    step: ScoreStep,
    output: OutputRow,
    picture: PictureRow,
    metrics: Sequence[MetricRow],
    opened: OpenedMetrics,
    truths: _Truths,
) -> None:
    """Compute what is not known of one result, and keep it."""
    place = _score_place(step, output)
    known = {} if step.is_fresh else read_json_or_none(place) or {}
    keys = {metric.name: _score_key(step, output, picture, metric) for metric in metrics if metric.name in opened.pairs}
    wanted = [metric for metric in metrics if metric.name in keys and _is_applicable(metric, picture)]
    missing = [
        metric.name
        for metric in wanted
        if (entry := known.get(metric.name, {})).get("key") != keys[metric.name] or "failure" in entry
    ]
    stamps = _stamps(step, output, picture)
    if not missing and known.get(FILES) == stamps:
        return
    if known and known.get(FILES) != stamps and not _are_as_stored(step, output, picture, truths):
        missing = [metric.name for metric in wanted]
    for name, value in _measured(step, output, picture, missing, opened, truths).items():
        known[name] = {"key": keys[name], **value}
    known[FILES] = stamps
    write_document(place, known)


def _stamps(step: ScoreStep, output: OutputRow, picture: PictureRow) -> dict[str, str | None]:
    """The files that scores are of, as far as they are within reach, with their stamps."""
    paths = (path for path in (output.path, picture.gt, picture.lq) if path is not None)
    within = (path for path in paths if step.data_root is not None or not path.startswith(DATA_PREFIX))
    return {path: stamp_of(located(path, out_dir=step.out_dir, data_root=step.data_root)) for path in within}


def _are_as_stored(step: ScoreStep, output: OutputRow, picture: PictureRow, truths: _Truths) -> bool:
    """Whether result and ground truth, as far as they are within reach, have the pixels that the hashes are of."""
    paths = _stamps(step, output, picture)
    try:
        if output.path in paths:
            _read_result(step, output)
        if picture.gt in paths:
            truths.of(picture)
    except (ImageFileError, ShapeError):
        return False
    return True


def _is_applicable(metric: MetricRow, picture: PictureRow) -> bool:
    """Whether a metric can look at a picture: one without ground truth has metrics of results and inputs alone."""
    return metric.compares in ("results", "inputs") or picture.gt is not None


def _measured(
    step: ScoreStep,
    output: OutputRow,
    picture: PictureRow,
    names: Sequence[str],
    opened: OpenedMetrics,
    truths: _Truths,
) -> dict[str, dict[str, Any]]:
    """Values of one result, or why there is none."""
    where = f"{output.contestant}, {output.dataset}/{output.picture}"
    values: dict[str, dict[str, Any]] = {}
    for part in opened.by_partner(names):
        try:
            pair = (
                _read_with_input(step, output, picture) if part.is_input else _read_pair(step, output, picture, truths)
            )
            pictures = bring_in_line(*pair, step.protocol, is_input=part.is_input, name=where)
        except (ImageFileError, ShapeError) as error:
            values |= {name: {"failure": str(error)} for name in part.names}
            continue
        for name in part.names:
            try:
                value = value_of(name, opened.pairs[name], pictures)
            except ScoreError as error:
                values[name] = {"failure": str(error)}
                continue
            values[name] = {"value": value if np.isfinite(value) else str(value)}
    return values


def _read_with_input(step: ScoreStep, output: OutputRow, picture: PictureRow) -> tuple[Photo, Photo]:
    """A stored result and the input that it was made of.

    Raises:
        ImageFileError: one cannot be read.
        ShapeError: one has been changed.
    """
    lq = step.memory.get(picture.lq_sha256)
    if lq is None:
        lq = read_photo(located(picture.lq, out_dir=step.out_dir, data_root=step.data_root))
        if hash_of_photo(lq) != picture.lq_sha256:
            raise ShapeError(f"{picture.lq} is not the input that the results are of; run the benchmark again")
    return _read_result(step, output), lq


def _read_pair(step: ScoreStep, output: OutputRow, picture: PictureRow, truths: _Truths) -> tuple[Photo, Photo]:
    """A stored result and its ground truth; the result twice where there is none.

    Raises:
        ImageFileError: one cannot be read, or the stored result has been changed.
    """
    result = _read_result(step, output)
    gt = truths.of(picture)
    if gt is None:
        return result, result
    return result, _as_deep(gt) if step.protocol.rounding == "none" and result.pixels.dtype == np.uint16 else gt


def _read_result(step: ScoreStep, output: OutputRow) -> Photo:
    """A stored result.

    Raises:
        ImageFileError: it cannot be read.
        ShapeError: it has been changed.
    """
    stored = step.memory.get(str(output.sha256))
    if stored is not None:
        return stored
    result = read_photo(located(str(output.path), out_dir=step.out_dir, data_root=step.data_root))
    if output.sha256 is not None and hash_of_photo(result) != output.sha256:
        raise ShapeError(f"{output.path} is not the picture that was stored; restore it again with --fresh")
    return result


def _as_deep(photo: Photo) -> Photo:
    """8 bits as 16, to be compared without a word on depths: a benchmark stores unrounded results so."""
    if photo.pixels.dtype != np.uint8:
        return photo
    return Photo(pixels=photo.pixels.astype(np.uint16) * np.uint16(257))


def _scored_row(step: ScoreStep, output: OutputRow, picture: PictureRow, metrics: Sequence[MetricRow]) -> OutputRow:
    """An output with the scores that were kept of it; not those of another protocol, or by other weights."""
    known = read_json_or_none(_score_place(step, output)) or {}
    found = {
        metric.name: entry
        for metric in metrics
        if (entry := known.get(metric.name, {})).get("key") == _score_key(step, output, picture, metric)
    }
    failures = list(dict.fromkeys(entry["failure"] for entry in found.values() if "failure" in entry))
    scores = {name: float(entry["value"]) for name, entry in found.items() if "value" in entry}
    return replace(output, scores=scores, failure="; ".join(failures) or None)


def _with_set_scores(step: ScoreStep, results: Results, opened: OpenedMetrics) -> Results:
    """The results with metrics of whole datasets, over all outputs that go together with their ground truths."""
    notes = (note for note in results.notes if note.partition(" of ")[0] not in _PACKAGES)  # of an earlier scoring
    results = replace(results, set_scores=(), notes=tuple(notes))
    if not opened.sets:
        return results
    results, groups = _grouped(step, results)
    rows: list[SetScoreRow] = []
    reasons: dict[str, list[str]] = {}
    for (contestant, dataset, seed), loaders in groups.items():
        scores = {}
        for name, measure in opened.sets.items():
            try:
                scores[name] = measure(loaders)
            except InputError as error:
                reasons.setdefault(name, []).append(f"{contestant}, {dataset}: {error}")
        row = SetScoreRow(contestant=contestant, dataset=dataset, seed=seed, scores=scores, num_pictures=len(loaders))
        rows += [row] if scores else []
    return _with_reasons(replace(results, set_scores=tuple(rows)), reasons)


def _grouped(step: ScoreStep, results: Results) -> tuple[Results, dict[_Group, list[tuple[Loader, Loader]]]]:
    """What metrics of whole sets take of each group, whatever other metrics make of it; the others have failed."""
    pictures, truths = {(row.dataset, row.name): row for row in results.pictures}, _Truths(step)
    groups: dict[_Group, list[tuple[Loader, Loader]]] = {}
    outputs = list(results.outputs)
    for index, output in enumerate(outputs):
        picture = pictures.get((output.dataset, output.picture))
        if output.path is None or picture is None or picture.gt is None:
            continue
        try:
            bring_together(*_read_pair(step, output, picture, truths), step.protocol)
        except (ImageFileError, ShapeError) as error:
            reasons = [output.failure] if output.failure else []
            reasons += [str(error)] if str(error) not in (output.failure or "") else []
            outputs[index] = replace(output, failure="; ".join(reasons))
            continue
        sides = (_loader(step, output, picture, "result"), _loader(step, output, picture, "gt"))
        groups.setdefault((output.contestant, output.dataset, output.seed), []).append(sides)
    return replace(results, outputs=tuple(outputs)), groups


def _with_reasons(results: Results, reasons: Mapping[str, Sequence[str]]) -> Results:
    """The results with why metrics of whole sets have no value: of nothing, or, as notes, of some datasets."""
    measured = {name for row in results.set_scores for name in row.scores}
    found = [f"{name} of {reason}" for name, lines in reasons.items() if name in measured for reason in lines]
    missing = {name: lines[0] for name, lines in reasons.items() if name not in measured}
    metrics = (replace(row, unavailable=row.unavailable or missing.get(row.name)) for row in results.metrics)
    return replace(results, metrics=tuple(metrics), notes=(*results.notes, *found))


def _loader(step: ScoreStep, output: OutputRow, picture: PictureRow, side: str) -> Loader:
    """Reads one side of a pair as the protocol compares it, rounded to 8 bits."""

    def load() -> np.ndarray:
        pictures = bring_together(*_read_pair(step, output, picture, _Truths(step)), step.protocol)
        rounded: np.ndarray = np.rint(getattr(pictures, side))
        return rounded.astype(np.uint8)

    return load
