"""Who is compared: models of all tracks, finished results, the untouched input, and classical peers."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from ldrestore.assets.catalog import MODELS, embedded_folder
from ldrestore.errors import DatasetError, InputError, UnknownNameError
from ldrestore.evaluation.cases import Case
from ldrestore.evaluation.peer_catalog import PEERS
from ldrestore.images.bit_depth import to_8_bit
from ldrestore.images.files import is_image_path, read_photo
from ldrestore.images.inputs import to_photo
from ldrestore.images.photo import Photo
from ldrestore.jobs.request import options_for
from ldrestore.registry import resolve
from ldrestore.restorers import find_track, load_restorer
from ldrestore.tracks import checked_options, options_class_of
from ldrestore.weights.folders import find_folder
from ldrestore.weights.hashes import hash_of_file

Kind = Literal["model", "results", "input", "peer"]
INPUT = "input"
"""Name of the untouched input among the contestants."""
SOLVERS = {
    "ddim": "diffusers:DDIMScheduler",
    "dpmsolver++": "diffusers:DPMSolverMultistepScheduler",
    "euler": "diffusers:EulerDiscreteScheduler",
    "unipc": "diffusers:UniPCMultistepScheduler",
}
"""What `--model MODEL,solver=..` may put in place of a model's own scheduler."""
_BETWEEN_OPTIONS = re.compile(r",(?![^\[\]{}]*[\]}])")
"""Commas of `--model`, but for those within a list or a mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One column of a comparison."""

    name: str
    """In tables, unique."""
    kind: Kind
    """What it is."""
    source: str = ""
    """Of a model its name, folder, repository or exported file; of results their folder; of a peer its name."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of a model's call, beside those of the datasets."""
    solver: str | None = None
    """Of `SOLVERS`, in place of a sampling model's own scheduler, on the same schedule."""
    num_seeds: int = 1
    """How often a model that draws restores each picture, with seeds 0 and up; others do it once."""

    @property
    def settings(self) -> dict[str, Any]:
        """What results tell of its calls: the options, and the solver if it has one."""
        return dict(self.options) | ({} if self.solver is None else {"solver": self.solver})

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """Seeds of its runs; None for what draws nothing, or chooses its own seed."""
        return (None,) if self.num_seeds == 1 else tuple(range(self.num_seeds))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RestoredPicture:
    """What a contestant made of a picture."""

    photo: Photo
    """The result."""
    record: Mapping[str, Any] | None = None
    """How it was made, where it tells."""
    degradations: Mapping[str, float] | None = None
    """What the model saw, where it tells."""


Restorer = Callable[[Photo, Case, int | None], RestoredPicture]
"""Restores one picture of a case, with a seed."""


def model_contestant(text: str, *, num_seeds: int = 1) -> Contestant:
    """A model as `--model` takes it: "MODEL", or "MODEL,option=value,.." with options of its call.

    Args:
        text: The name and options, values read as YAML, such as "MODEL,degradations=[rain,haze]"; "solver" is no option
            of the call, see `SOLVERS`.
        num_seeds: Runs of a model that draws.

    Raises:
        InputError: an option has no "=" or no value that is YAML, or the model's track does not take it.
        UnknownNameError: no such solver.
        WeightsUnavailableError: no such model within reach.
    """
    model, *words = _BETWEEN_OPTIONS.split(text)
    options = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key:
            raise InputError(f"expected MODEL or MODEL,option=value,.. got {text!r}")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--model {text}: the value of {key} is no valid YAML, got {value!r}") from error
    name = model.rstrip("/").rpartition("/")[2] + "".join(f",{key}={value}" for key, value in options.items())
    solver = options.pop("solver", None)
    options_for(model, options)
    draws = "seed" in {each.name for each in fields(options_class_of(find_track(model)))}
    if solver is not None and not draws:
        raise InputError(f"{model} does not sample; leave out solver={solver}")
    if solver is not None and solver not in SOLVERS:
        raise UnknownNameError("solver", str(solver), SOLVERS)
    return Contestant(
        name=name,
        kind="model",
        source=model,
        options=options,
        solver=solver,
        num_seeds=num_seeds if draws else 1,
    )


def results_contestant(name: str, folder: Path) -> Contestant:
    """Finished pictures of a folder, as NAME or NAME/DATASET below it.

    Raises:
        InputError: no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"--results {name}: no folder at {folder}")
    return Contestant(name=name, kind="results", source=str(folder))


def peer_contestant(name: str) -> Contestant:
    """A classical restorer.

    Raises:
        UnknownNameError: no such peer.
    """
    return Contestant(name=PEERS.get(name).name, kind="peer", source=name)


def takes_part(contestant: Contestant, case: Case) -> bool:
    """Whether a contestant is for such a picture; peers are for their own tasks alone."""
    if contestant.kind != "peer":
        return True
    record = PEERS.get(contestant.source)
    return case.task in record.tasks and (case.sigma_255 is not None or not record.needs_sigma)


def check_results_are_of_one_input(contestant: Contestant, cases: Sequence[Case]) -> None:
    """Refuse finished results of which one file would serve two inputs.

    Args:
        contestant: Of finished pictures.
        cases: All that it is given.

    Raises:
        InputError: DIR/NAME.png is found for two pictures that are not made alike.
    """
    served: dict[Path, Case] = {}
    for case in cases:
        try:
            path = finished_results(contestant.source).path_of(case)
        except DatasetError:  # it is named where the picture is restored
            continue
        first = served.setdefault(path, case)
        if first.input_key != case.input_key:
            names = [f"{each.dataset}/{each.name}" for each in (first, case)]
            raise InputError(
                f"--results {contestant.name}: {path.relative_to(contestant.source)} would be the result of both "
                f"{names[0]} and {names[1]}; name each like its input, in a folder of its dataset"
            )


@lru_cache(maxsize=8)
def finished_results(folder: str) -> "FinishedResults":
    """A folder of finished pictures, listed once a process."""
    return FinishedResults(Path(folder))


def open_contestant(contestant: Contestant, *, device: str) -> Restorer:
    """Make a contestant ready: load a model, look through a folder.

    Raises:
        LDRestoreError: a model cannot be had, or refuses its options.
    """
    if contestant.kind == "model":
        return ModelRestorer(contestant, device=device)
    if contestant.kind == "results":
        return finished_results(contestant.source)
    if contestant.kind == "peer":
        return _peer_restorer(contestant.source)
    return lambda photo, case, seed: RestoredPicture(photo=photo)


class ModelRestorer:
    """A loaded model of any track."""

    def __init__(self, contestant: Contestant, *, device: str) -> None:
        """Load it.

        Raises:
            LDRestoreError: it cannot be had, or does not take an option.
        """
        self.contestant = contestant
        self.pipeline: Any = load_restorer(contestant.source, device=device)
        self.pipeline.set_progress_bar_config(disable=True)
        if contestant.solver is not None:
            self._take_solver(contestant.solver)
        self._options: dict[str, Any] = {}

    def _take_solver(self, name: str) -> None:
        """Sample by one of `SOLVERS`, on the schedule of the model's own scheduler."""
        scheduler = resolve(SOLVERS[name])
        self.pipeline.scheduler = scheduler.from_config(self.pipeline.scheduler.config)

    def __call__(self, photo: Photo, case: Case, seed: int | None) -> RestoredPicture:
        """Restore one picture.

        Raises:
            LDRestoreError: the picture cannot be restored, or the model takes no such option.
        """
        output = self.pipeline.restore(photo, self.options(call_options(self.contestant, case, seed)))
        degradations = dict(output.degradations[0]) if output.degradations else None
        return RestoredPicture(photo=output.photos[0], record=output.records[0], degradations=degradations)

    def options(self, given: Mapping[str, Any]) -> Any:
        """Options of the model's track, checked once."""
        key = json.dumps(given, sort_keys=True, default=str)
        if key not in self._options:
            options = options_for(self.contestant.source, given)
            self._options[key] = replace(checked_options(self.pipeline, options), output_type="photo")
        return self._options[key]


def call_options(contestant: Contestant, case: Case, seed: int | None) -> dict[str, Any]:
    """What a model's call is given: the dataset's options, then the contestant's, then the seed."""
    return {**case.options, **contestant.options, **({} if seed is None else {"seed": seed})}


class FinishedResults:
    """Pictures that something else has restored, matched to cases by dataset and name."""

    def __init__(self, folder: Path) -> None:
        """List the folder."""
        self.folder = folder
        self._paths: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and is_image_path(path)):
            self._paths[path.relative_to(folder).with_suffix("").as_posix()].append(path)

    def __call__(self, photo: Photo, case: Case, seed: int | None) -> RestoredPicture:
        """Read the result of one case, cut as its ground truth is.

        Raises:
            DatasetError: there is none, or it is too small.
            ImageFileError: it cannot be read.
        """
        return RestoredPicture(photo=case.cut(read_photo(self.path_of(case))))

    def path_of(self, case: Case) -> Path:
        """Where the result of a case lies: DATASET/NAME, or NAME.

        Raises:
            DatasetError: nowhere, or in several files.
        """
        names = (f"{case.dataset}/{case.name}", case.name, case.name.rpartition("/")[2])
        paths = next((self._paths[name] for name in names if name in self._paths), [])
        if not paths:
            raise DatasetError(f"no result for {case.dataset}/{case.name} in {self.folder}; name it like its input")
        if len(paths) > 1:
            found = " and ".join(path.name for path in paths)
            raise DatasetError(f"{self.folder} has {found} for {case.dataset}/{case.name}; leave one of them there")
        return paths[0]


def contestant_identity(contestant: Contestant) -> str:
    """A hash of what decides a contestant's results beside input and options; of results it is each file's own."""
    if contestant.kind == "model":
        return _remembered_hash(contestant.source)
    if contestant.kind == "peer":
        package = "bm3d" if contestant.source == "bm3d" else "opencv-python-headless"
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            return package
    return contestant.kind


def hash_of_model(name_or_path: str) -> str:
    """SHA-256 over names and contents of a model's weights and configs.

    Raises:
        WeightsUnavailableError: it is not within reach.
    """
    location = embedded_folder(name_or_path) or Path(name_or_path)
    if location.is_file():
        return hash_of_file(location)
    folder = find_folder(location)
    digest = hashlib.sha256()
    for path in sorted([*folder.rglob("*.safetensors"), *folder.rglob("*.json")]):
        digest.update(f"{path.relative_to(folder).as_posix()} {hash_of_file(path)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _remembered_hash(name_or_path: str) -> str:
    """The hash of a model, computed once a process."""
    return hash_of_model(name_or_path)


def forget_contestants() -> None:
    """Look at models' weights and at folders of results anew from here on; they may have changed since."""
    _remembered_hash.cache_clear()
    finished_results.cache_clear()


def licence_of(contestant: Contestant) -> str | None:
    """Licence of what computes, where it is known."""
    if contestant.kind == "peer":
        return PEERS.get(contestant.source).licence
    if contestant.kind == "model" and contestant.source in MODELS:
        return MODELS.get(contestant.source).licence
    return None


def _peer_restorer(name: str) -> Restorer:
    """A classical restorer on 8-bit pictures.

    Raises:
        MissingExtraError: its package is not installed, when it is called.
    """
    record = PEERS.get(name)
    function: Callable[..., np.ndarray] = resolve(record.target)

    def restore(photo: Photo, case: Case, seed: int | None) -> RestoredPicture:
        pixels = to_8_bit(photo.pixels)
        pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
        sigma = {"sigma_255": case.sigma_255} if record.needs_sigma else {}
        return RestoredPicture(photo=to_photo(function(pixels, **sigma)))

    return restore
