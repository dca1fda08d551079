"""The pictures of a suite, ready to be restored: found, degraded and cut as suite and protocol say."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ldrestore.datasets.compared_pairs import CLEAN_RECIPE, centre_of, degraded
from ldrestore.datasets.pictures import read_rgb
from ldrestore.degradations.recipes import Recipe, parse_recipe
from ldrestore.errors import ConfigError, DatasetError, ImageFileError, MissingSetError, ShapeError
from ldrestore.evaluation.benchmark_catalog import BENCHMARKS
from ldrestore.evaluation.benchmark_files import OWN_PAIRS, FoundSet, PictureFiles, find_set, places_of
from ldrestore.evaluation.picture_memory import PictureMemory
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset
from ldrestore.images.files import read_photo
from ldrestore.images.headers import read_size
from ldrestore.images.inputs import to_photo
from ldrestore.images.photo import Photo
from ldrestore.metrics.protocols import Protocol, find_protocol

LEFT_OUT_NAMED = 10
"""So many pictures that are left out of a set are named."""
NOISE_SEED = 0
"""Of the noise that papers draw."""
_DEEP = 257
"""What takes 8 bits to 16: white stays white."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CasePictures:
    """What a restorer is given, and what should come out."""

    lq: Photo
    """Degraded; of 16 bits where the protocol does not round results."""
    gt: Photo | None
    """Ground truth; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One picture of one dataset of a suite."""

    dataset: str
    """Name in the suite."""
    name: str
    """Of the picture, unique in the dataset."""
    cluster: str
    """Scene, which pictures of several datasets may share."""
    task: str
    """What is wrong with it."""
    sigma_255: float | None
    """Of its Gaussian noise in 8-bit units, where nothing else is wrong."""
    options: Mapping[str, Any]
    """Of the models' calls."""
    files: PictureFiles
    """Where it comes from."""
    dataset_config: SuiteDataset
    """How it is made."""
    protocol: Protocol
    """By which it is compared."""
    noise_skip: int = 0
    """Numbers drawn before its noise, of those that papers draw."""

    @property
    def input_key(self) -> tuple[object, ...]:
        """What its input is made of: equal of two cases that differ in what models are told."""
        config = self.dataset_config
        return self.files.lq, self.files.gt, config.recipe, config.severity, config.noise_sigma_255, config.crop

    def pictures(self, memory: PictureMemory | None = None) -> CasePictures:
        """Read and make them.

        Args:
            memory: Of clean pictures by their files, which several datasets degrade; read into it.

        Raises:
            ImageFileError: a file cannot be read.
            DatasetError: it is smaller than the protocol's multiple.
            ShapeError: the picture cannot be degraded so.
        """
        config, files = self.dataset_config, self.files
        if config.recipe is None and config.noise_sigma_255 is None:
            lq = read_photo(files.lq if files.lq is not None else _required(files.gt))
            gt = None if files.gt is None else read_photo(files.gt)
            if gt is not None and (gt.height, gt.width) != (lq.height, lq.width) and "scale" not in self.options:
                raise ShapeError(
                    f"{files.lq} has {lq.width}x{lq.height} pixels and its ground truth {gt.width}x{gt.height}; "
                    "a pair has one size"
                )
            return CasePictures(lq=self._deepened(self.cut(lq)), gt=None if gt is None else self.cut(gt))
        clean = self.cut(_clean_picture(_required(files.gt), PictureMemory(0) if memory is None else memory))
        if config.recipe is not None:
            name = _required(files.gt).name
            pixels = degraded(clean.pixels, config.recipe, name, severity=config.severity)
        else:
            pixels = noisy_as_papers(clean.pixels, _required_sigma(config), skip=self.noise_skip)
        return CasePictures(lq=self._deepened(to_photo(pixels)), gt=clean)

    def cut(self, photo: Photo) -> Photo:
        """The part of a picture that is taken: the suite's square, then the protocol's multiple, from the centre.

        What is cut already stays as it is.

        Raises:
            DatasetError: the picture is smaller than the multiple.
        """
        pixels, alpha = photo.pixels, photo.alpha
        if self.dataset_config.crop is not None:
            pixels = centre_of(pixels, self.dataset_config.crop)
            alpha = None if alpha is None else centre_of(alpha, self.dataset_config.crop)
        height, width = cut_size(*pixels.shape[:2], multiple=self.protocol.multiple)
        if not height or not width:
            raise DatasetError(f"{self.name} is smaller than the multiple {self.protocol.multiple} of the protocol")
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        part = (slice(top, top + height), slice(left, left + width))
        if pixels[part].shape == photo.pixels.shape:
            return photo
        return photo.replace(
            pixels=np.ascontiguousarray(pixels[part]),
            alpha=None if alpha is None else np.ascontiguousarray(alpha[part]),
        )

    def _deepened(self, photo: Photo) -> Photo:
        """The same picture at 16 bits where the protocol compares unrounded results, so that storing rounds little."""
        if self.protocol.rounding == "uint8" or photo.pixels.dtype != np.uint8:
            return photo
        alpha = None if photo.alpha is None else photo.alpha.astype(np.uint16) * np.uint16(_DEEP)
        return photo.replace(pixels=photo.pixels.astype(np.uint16) * np.uint16(_DEEP), alpha=alpha)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SuiteCases:
    """A suite with the sets that were found for it."""

    suite: SuiteConfig
    """What is measured."""
    sets: Mapping[str, FoundSet]
    """Dataset of the suite to what was found."""
    cases: tuple[Case, ...]
    """All pictures, dataset after dataset."""
    notes: tuple[str, ...] = field(default=())
    """Sets that are missing or not whole."""


def cases_of_suite(
    suite: SuiteConfig, *, data_root: Path | None = None, pairs: FoundSet | None = None, limit: int | None = None
) -> SuiteCases:
    """Find the sets of a suite and list its pictures.

    Args:
        suite: Which sets.
        data_root: The folder that they lie in.
        pairs: A user's own pairs, measured as one more dataset.
        limit: The most pictures of each dataset, beside the suite's own limits.

    Raises:
        MissingSetError: sets are not there that the suite needs, or none at all; names all of them, where they are
            looked for, and what to do.
        UnknownNameError: no such set.
        ConfigError: a dataset degrades the pictures of a set that has no clean ones, or has the name of a user's pairs.
    """
    protocol = find_protocol(suite.protocol)
    sets: dict[str, FoundSet] = {}
    cases: list[Case] = []
    notes: list[str] = []
    drawn = 0
    for config, found in _found_sets(suite, data_root, pairs, notes):
        _check_can_be_made(config, found)
        sets[config.name] = found
        notes += _words_on(config, found)
        files = found.files[:: config.every][: _least(config.limit, limit)]
        for picture in files:
            skip = drawn
            if config.noise_sigma_255 is not None:
                drawn += _num_values(_required(picture.gt), config, protocol)
            cases.append(_case(config, found, picture, protocol, skip))
    if not cases:
        raise _missing_sets(suite, {config.set: config.set for config in suite.datasets}, data_root)
    return SuiteCases(suite=suite, sets=sets, cases=tuple(cases), notes=tuple(notes))


def noisy_as_papers(gt: np.ndarray, sigma_255: float, *, skip: int = 0) -> np.ndarray:
    """Noise as PromptIR, AdaIR and MoCE-IR draw it: clip(x + sigma n, 0, 255), truncated to 8 bits.

    Args:
        gt: (H, W, 3) uint8.
        sigma_255: Standard deviation in 8-bit units.
        skip: Numbers that numpy's generator of seed 0 gave to the pictures before.
    """
    state = np.random.RandomState(NOISE_SEED)
    while skip > 0:
        part = min(skip, 2**22)
        state.standard_normal(part)
        skip -= part
    return np.clip(gt + sigma_255 * state.standard_normal(gt.shape), 0, 255).astype(np.uint8)


def cut_size(height: int, width: int, *, multiple: int) -> tuple[int, int]:
    """The largest sides that are multiples and fit."""
    return height // multiple * multiple, width // multiple * multiple


def _found_sets(
    suite: SuiteConfig, data_root: Path | None, pairs: FoundSet | None, notes: list[str]
) -> Iterator[tuple[SuiteDataset, FoundSet]]:
    """Each dataset with its files; one that is not there is noted where the suite allows it.

    Raises:
        MissingSetError: the suite needs sets that are not there.
        ConfigError: a dataset has the name of a user's pairs.
    """
    if pairs is not None and any(config.name == OWN_PAIRS for config in suite.datasets):
        raise ConfigError(f"suite {suite.name}: a dataset is called {OWN_PAIRS}, as one's own pairs are; rename it")
    found: list[tuple[SuiteDataset, FoundSet]] = []
    missing: dict[str, str] = {}
    for config in suite.datasets:
        record = BENCHMARKS.get(config.set)
        files = find_set(record, data_root)
        if files is not None:
            found.append((config, files))
            continue
        missing[config.set] = places_of(record)
        if suite.has_optional_sets:
            notes.append(f"{config.name} is left out: {missing[config.set]} is not there")
    if missing and not suite.has_optional_sets:
        raise _missing_sets(suite, missing, data_root)
    yield from found
    if pairs is not None:
        yield SuiteDataset(name=OWN_PAIRS, set=pairs.record.name), pairs


def _check_can_be_made(config: SuiteDataset, found: FoundSet) -> None:
    """Refuse to degrade what has no clean pictures.

    Raises:
        ConfigError: the set has none.
    """
    is_made = config.recipe is not None or config.noise_sigma_255 is not None
    if is_made and any(picture.gt is None for picture in found.files):
        raise ConfigError(
            f"{config.name}: {found.record.title} has no clean pictures that could be degraded; leave out recipe and "
            "noise_sigma_255"
        )


def _missing_sets(suite: SuiteConfig, places: Mapping[str, str], data_root: Path | None) -> MissingSetError:
    """The error that names sets, where they are looked for, and what to do.

    Args:
        suite: Which needs them.
        places: Set to what is said of it.
        data_root: The folder that they do not lie in.
    """
    if data_root is None:
        where, remedy = "no data root is given", "name the folder that holds them with --data-root DIR"
    elif not data_root.is_dir():
        where, remedy = f"{data_root} is no folder", "name the folder that holds them with --data-root DIR"
    else:
        where, remedy = f"nothing of these lies below {data_root}", "put them there, nothing is downloaded"
    looked_for = ", ".join(places.values()) or "none"
    return MissingSetError(
        f"the suite {suite.name} needs sets, and {where}; {remedy} (`ldrestore bench --list --data-root DIR` says what "
        f"is found, the suite builtin needs none); looked for: {looked_for}"
    )


def _words_on(config: SuiteDataset, found: FoundSet) -> Iterable[str]:
    """What a reader of the figures must know of a set."""
    record = found.record
    if found.problems:
        more = len(found.problems) - LEFT_OUT_NAMED
        named = "; ".join([*found.problems[:LEFT_OUT_NAMED], *([f"and {more} more"] if more > 0 else [])])
        yield f"{config.name}: {len(found.problems)} pictures are left out: {named}"
    if record.num_pictures is not None and len(found.files) != record.num_pictures:
        yield f"{config.name}: {len(found.files)} of the {record.num_pictures} pictures of {record.title} are there"
    for leak in record.leaks:
        yield f"{config.name}: {leak}"


def _case(config: SuiteDataset, found: FoundSet, picture: PictureFiles, protocol: Protocol, skip: int) -> Case:
    """One picture of one dataset."""
    recipe = None if config.recipe in (None, CLEAN_RECIPE) else parse_recipe(str(config.recipe))
    sigma = config.noise_sigma_255 if config.noise_sigma_255 is not None else _sigma_of(recipe)
    return Case(
        dataset=config.name,
        name=picture.name,
        cluster=f"{config.set}/{picture.scene}",
        task=config.task or ("gaussian_noise" if sigma is not None else config.recipe) or found.record.task,
        sigma_255=sigma,
        options=config.options,
        files=picture,
        dataset_config=config,
        protocol=protocol,
        noise_skip=skip,
    )


def _sigma_of(recipe: Recipe | None) -> float | None:
    """The noise of a recipe that says it and nothing else."""
    if recipe is None or len(recipe.steps) != 1 or recipe.steps[0].name != "gaussian_noise":
        return None
    value = dict(recipe.steps[0].parameters).get("sigma_255")
    return None if value is None else float(value)


def _num_values(path: Path, config: SuiteDataset, protocol: Protocol) -> int:
    """How many numbers the noise of a picture takes; 0 for one that cannot be read, which fails by itself."""
    try:
        width, height = read_size(path)
    except ImageFileError:
        return 0
    if config.crop is not None:
        height, width = min(height, config.crop), min(width, config.crop)
    height, width = cut_size(height, width, multiple=protocol.multiple)
    return height * width * 3


def _least(*counts: int | None) -> int | None:
    """The smallest of the counts that are given."""
    given = [count for count in counts if count is not None]
    return min(given) if given else None


def _clean_picture(path: Path, memory: PictureMemory) -> Photo:
    """A clean picture as RGB, read unless it is kept."""
    kept = memory.get(str(path))
    if kept is not None:
        return kept
    photo = to_photo(read_rgb(path))
    memory.keep(str(path), photo)
    return photo


def _required(path: Path | None) -> Path:
    """A path that the layout promises."""
    assert path is not None
    return path


def _required_sigma(config: SuiteDataset) -> float:
    """The noise of a dataset that has some."""
    assert config.noise_sigma_255 is not None
    return config.noise_sigma_255
