"""The results of a benchmark as plain rows: what `results.json` holds, read, checked and written.

One file is a submission: it has no machine's paths, and all that a figure depends on by version or hash. Pictures lie
beside it: "outputs/.." and "pictures/.." are below its folder, "data:.." below the data root of whoever reads it.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ldrestore.config import as_plain, build
from ldrestore.errors import ConfigError, InputError
from ldrestore.evaluation.stored_files import write_text

RESULTS_VERSION = 1
"""Of the layout below; a file of another one is refused."""
RESULTS_FILE = "results.json"
"""In the folder of a benchmark."""
PLAIN_BOOTSTRAP = "plain bootstrap"
"""Statistics of files that do not name theirs: intervals that are too narrow, and p too small, for few scenes."""
DATA_PREFIX = "data:"
"""Of the path of a picture that lies below the data root."""
_HASH = re.compile(r"[0-9a-f]+")
_SETTINGS = ("name", "colour", "border", "multiple", "rounding", "ssim_window", "psnr_mean", "psnr_cap")
"""Of a protocol, without which figures cannot be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow:
    """One dataset of the suite."""

    name: str
    """Column in tables."""
    set: str
    """Name in the registry of sets."""
    title: str
    """As papers write it."""
    task: str
    """What is wrong with its pictures."""
    making: str
    """How its degraded pictures came to be: "pairs", a recipe with its severity, or noise as papers draw it."""
    layout: str
    """Whose layout of files was found."""
    num_pictures: int
    """Measured."""
    num_left_out: int = 0
    """Found without a partner, or twice; the notes of the results name them."""
    num_published: int | None
    """Of the whole split, where it is known."""
    terms: str
    """What its authors allow."""
    notes: tuple[str, ...] = ()
    """Known leaks, what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestantRow:
    """One contestant."""

    name: str
    """In tables."""
    kind: str
    """model, results, input or peer."""
    options: Mapping[str, Any]
    """Of its calls."""
    identity: str
    """SHA-256 of a model's weights and configs, or the package and version of a peer."""
    num_seeds: int
    """Runs of each picture."""
    licence: str | None
    """Of its weights or code, where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric."""

    name: str
    """As `--metric` takes it."""
    compares: str
    """pairs, results or sets."""
    lower_is_better: bool
    """Which way is better."""
    digits: int
    """After the point, in tables."""
    source: str
    """Paper."""
    version: str
    """Of what computes it, with the packages that matter."""
    weights_sha256: str | None
    """Of its weights, where it has any of ours or a user's."""
    unavailable: str | None = None
    """Why it could not be computed, with the way to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """One picture of a dataset."""

    dataset: str
    name: str
    """Unique in the dataset."""
    cluster: str
    """Scene, which pictures of several datasets may share."""
    width: int
    """Of the degraded picture, in pixels."""
    height: int
    lq: str
    """Path of the degraded picture, see the module."""
    gt: str | None
    """Path of the ground truth; None without one."""
    lq_sha256: str
    """Of the pixels, see `ldrestore.records.hash_of_pixels`."""
    gt_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRow:
    """What one contestant made of one picture, and its scores."""

    contestant: str
    dataset: str
    picture: str
    seed: int | None = None
    """None for what draws nothing."""
    path: str | None = None
    """Of the stored result, see the module; None where it failed."""
    sha256: str | None = None
    """Of its pixels."""
    seconds: float | None = None
    """Of the contestant's call alone, loading and files left out; None for finished results and the input."""
    degradations: Mapping[str, float] | None = None
    """What the model saw, name to probability, where it tells."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Metric to value; an infinite PSNR is "inf" in the file."""
    failure: str | None = None
    """Why there is no result, or not all scores."""
    environment: str | None = None
    """Hash of the environment that it was made in, see `Results.environments`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetScoreRow:
    """Metrics of a whole dataset, such as FID."""

    contestant: str
    dataset: str
    seed: int | None = None
    scores: Mapping[str, float]
    num_pictures: int | None = None
    """That they are of; earlier files do not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanRow:
    """The mean of a metric over a dataset, or over the datasets of an average."""

    contestant: str
    dataset: str
    """Dataset or average."""
    metric: str
    mean: float
    """Over pictures, each the mean of its seeds; of an average over its datasets."""
    low: float | None
    """Lower end of the 95 % bootstrap interval over scenes; None of one or two, an average, a metric of sets."""
    high: float | None
    num_pictures: int
    num_scenes: int
    spread: float | None = None
    """Standard deviation of the mean over seeds; None for one run."""
    cap: float | None = None
    """What a picture counts at most; named where a picture reached it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """Two contestants on the pictures that both restored."""

    dataset: str
    metric: str
    first: str
    second: str
    difference: float
    """Mean of second - first, in units of the metric."""
    low: float | None
    """Lower end of its 95 % bootstrap interval over scenes; None of one or two."""
    high: float | None
    p: float
    """Two-sided, by flips of the scenes' signs, and never below what so few scenes can show."""
    p_holm: float
    """Holm's, over the datasets of the same metric and contestants."""
    verdict: str
    """"first", "second", or "tied"."""
    num_scenes: int
    worst_picture: str
    """Where the second did worst against the first."""
    worst_difference: float
    """Second - first of that picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateRow:
    """What a contestant took the pictures of a dataset for."""

    contestant: str
    dataset: str
    task: str
    """What is wrong with them."""
    counts: Mapping[str, int]
    """The most probable name of its estimate to how many pictures had it, one a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityRow:
    """What a contestant said with about the same probability; see `ldrestore.evaluation.reliability`."""

    contestant: str
    low: float
    """The probabilities from here, in [0, 1],"""
    high: float
    """to here."""
    count: int
    """Statements, one a picture, a seed and a name."""
    probability: float
    """Mean of what was given, in [0, 1]."""
    share: float
    """Of them that were right, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What a contestant costs; None for what could not be measured."""

    contestant: str
    seconds_per_megapixel: float
    """Median of the runs, after a warm-up, contestants in turn."""
    megapixels: float
    """Of the picture that was timed."""
    repeats: int
    peak_gigabytes: float | None
    """Growth of the process's memory, or of the GPU's, above the loaded model, in 10^9 bytes."""
    parameters: int | None
    gigamacs: float | None
    """Multiplications with addition of one 256 x 256 picture, all sampling steps included, in 10^9."""
    device: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that a benchmark found."""

    version: int = RESULTS_VERSION
    suite: str
    """Name."""
    summary: str
    """What the suite is."""
    ldrestore: str
    """Version that scored."""
    protocol: Mapping[str, Any]
    """Every setting, see `ldrestore.metrics.protocols.Protocol`."""
    environments: Mapping[str, Any]
    """Hash to machine, device, threads and versions."""
    statistics: str = PLAIN_BOOTSTRAP
    """How intervals and p are computed, see `ldrestore.evaluation.paired_statistics`; earlier files do not say it."""
    averages: Mapping[str, Any] = field(default_factory=dict)
    """Name of an average to its datasets."""
    published: tuple[str, ...] = ()
    """Names of printed tables to show beside."""
    datasets: tuple[DatasetRow, ...] = ()
    contestants: tuple[ContestantRow, ...] = ()
    metrics: tuple[MetricRow, ...] = ()
    pictures: tuple[PictureRow, ...] = ()
    outputs: tuple[OutputRow, ...] = ()
    set_scores: tuple[SetScoreRow, ...] = ()
    means: tuple[MeanRow, ...] = ()
    comparisons: tuple[ComparisonRow, ...] = ()
    estimates: tuple[EstimateRow, ...] = ()
    reliability: tuple[ReliabilityRow, ...] = ()
    costs: tuple[CostRow, ...] = ()
    notes: tuple[str, ...] = ()
    """Sets that are missing, licences, leaks found, pictures that models were trained on."""

    def picture(self, dataset: str, name: str) -> PictureRow:
        """The row of a picture.

        Raises:
            KeyError: there is none.
        """
        for row in self.pictures:
            if (row.dataset, row.name) == (dataset, name):
                return row
        raise KeyError(f"{dataset}/{name}")

    @property
    def failures(self) -> tuple[OutputRow, ...]:
        """Outputs that are missing, or lack scores."""
        return tuple(row for row in self.outputs if row.failure is not None)

    @property
    def is_whole(self) -> bool:
        """Whether no output failed and no picture was left out."""
        return not self.failures and not any(row.num_left_out for row in self.datasets)


def read_results(path: Path) -> Results:
    """Results from `results.json`, or from the folder that holds it.

    Raises:
        InputError: there is no such file, it is of another version, it is damaged, or its rows do not belong
            together; says which.
    """
    path = path / RESULTS_FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"no results at {path}; name a folder that `ldrestore bench` wrote, or its {RESULTS_FILE}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); run the benchmark again") from error
    if not isinstance(document, dict) or "version" not in document:
        raise InputError(f"{path} holds no results of a benchmark")
    if document["version"] != RESULTS_VERSION:
        raise InputError(
            f"{path} has results of version {document['version']}, and this ldrestore reads version {RESULTS_VERSION}; "
            "score its pictures again with: ldrestore bench"
        )
    try:
        results = build(Results, document, where=str(path))
    except ConfigError as error:
        raise InputError(f"the results are damaged: {error}") from error
    fault = _fault_of(results)
    if fault is not None:
        raise InputError(f"the results are damaged: {path}: {fault}; run the benchmark again, or ask who made the file")
    outputs = tuple(replace(row, scores=_as_numbers(row.scores, path)) for row in results.outputs)
    set_scores = tuple(replace(row, scores=_as_numbers(row.scores, path)) for row in results.set_scores)
    return replace(results, outputs=outputs, set_scores=set_scores)


def write_results(results: Results, path: Path) -> None:
    """Write `results.json`, whole or not at all."""
    write_text(path, results_as_text(document_of(results)))


def results_as_text(document: Mapping[str, Any]) -> str:
    """A document as JSON text with one row a line, which stays small and shows by its lines what changed."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n  ".join(json.dumps(row, allow_nan=False) for row in value)
            parts.append(f" {json.dumps(key)}: [\n  {rows}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def document_of(results: Results) -> dict[str, Any]:
    """Results as JSON has them: an infinite value is "inf"."""
    document: dict[str, Any] = _as_json(as_plain(results))
    return document


def located(path: str, *, out_dir: Path, data_root: Path | None) -> Path:
    """Where a picture of the results lies.

    Args:
        path: Of a row.
        out_dir: The folder of the results.
        data_root: The folder that sets lie in.

    Raises:
        InputError: the picture lies below a data root, and none is given; or the path leads out of its folder.
    """
    parts = PurePosixPath(path.removeprefix(DATA_PREFIX))
    if parts.is_absolute() or ".." in parts.parts:
        raise InputError(f"{path} leads out of the folder of the results; they are not by ldrestore bench")
    if not path.startswith(DATA_PREFIX):
        return out_dir / path
    if data_root is None:
        raise InputError(f"{path} lies below the data root; give it with --data-root")
    return data_root / path.removeprefix(DATA_PREFIX)


def _fault_of(results: Results) -> str | None:
    """What is wrong with rows that are well formed, each by itself; None for nothing.

    Someone else's file is merged, scored again and shown: no name in it may lead to nothing, or stand for two things,
    and no hash may be the path of a file.
    """
    missing = [name for name in _SETTINGS if name not in results.protocol]
    if missing:
        return f"its protocol lacks {', '.join(missing)}"
    pictures = Counter((row.dataset, row.name) for row in results.pictures)
    outputs = Counter((row.contestant, row.dataset, row.picture, row.seed) for row in results.outputs)
    twice = [str(key) for counts in (pictures, outputs) for key, count in counts.items() if count > 1]
    if twice:
        return f"{twice[0]} is there twice"
    contestants, datasets = ({row.name for row in rows} for rows in (results.contestants, results.datasets))
    for output in results.outputs:
        name = f"{output.contestant}, {output.dataset}/{output.picture}"
        if output.contestant not in contestants or output.dataset not in datasets:
            return f"the contestant or the dataset of {name} is not listed"
        if (output.path is not None or output.scores) and (output.dataset, output.picture) not in pictures:
            return f"the picture of {name} is not listed"
    hashes = [digest for picture in results.pictures for digest in (picture.lq_sha256, picture.gt_sha256)]
    hashes += [output.sha256 for output in results.outputs]
    wrong = [digest for digest in hashes if digest is not None and not _HASH.fullmatch(digest)]
    return f"{wrong[0]!r} is no hash of a picture" if wrong else None


def _as_numbers(scores: Mapping[str, Any], path: Path) -> dict[str, float]:
    """Values of a file as floats.

    Raises:
        InputError: one is no number.
    """
    try:
        return {name: float(value) for name, value in scores.items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} has a score that is no number: {dict(scores)}") from error


def _as_json(value: Any) -> Any:
    """A value with infinite numbers as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value
