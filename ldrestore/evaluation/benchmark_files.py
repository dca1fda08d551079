"""What lies of a set below a data root: its files, paired, and whether they are all."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ldrestore.evaluation.benchmark_record import BenchmarkRecord, SetLayout
from ldrestore.evaluation.mixed_damage_sets import BUILTIN
from ldrestore.images.formats import is_image_path
from ldrestore.metrics.scoring import match_files

BUILTIN_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "bench_pictures"
"""Clean pictures that come with the library."""
OWN_PAIRS = "pairs"
"""The set of two folders that a user names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFiles:
    """The files of one picture of a set."""

    name: str
    """Unique within the set: the stem, or the path from where all of them lie."""
    scene: str
    """The key of its ground truth, which degraded pictures of one scene share."""
    lq: Path | None
    """Degraded; None in a set of clean pictures."""
    gt: Path | None
    """Ground truth; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSet:
    """What was found of one set."""

    record: BenchmarkRecord
    """The set."""
    layout_source: str
    """Whose layout was found."""
    files: tuple[PictureFiles, ...]
    """In the order of their names."""
    problems: tuple[str, ...] = ()
    """Pictures that were left out, and why."""

    @property
    def is_complete(self) -> bool | None:
        """Whether all its pictures are there and nothing was left out; None where the count is not known."""
        if self.problems:
            return False
        return None if self.record.num_pictures is None else len(self.files) == self.record.num_pictures


def find_set(record: BenchmarkRecord, data_root: Path | None) -> FoundSet | None:
    """Look for a set below a data root, by each of its layouts in turn.

    Args:
        record: The set.
        data_root: The folder that sets lie in; the library's own pictures need none.

    Returns:
        What is there; None where no layout fits.
    """
    if record.name == BUILTIN:
        layout = SetLayout(lq=None, gt="*.png", source="the library")
        return _read_layout(record, layout, BUILTIN_FOLDER)
    if data_root is None:
        return None
    found = (_read_layout(record, layout, data_root) for layout in record.layouts)
    return next((each for each in found if each is not None), None)


def places_of(record: BenchmarkRecord) -> str:
    """A set with where it is looked for below a data root."""
    return f"{record.name} ({record.title}) at {' or '.join(f'{layout.lq or layout.gt}' for layout in record.layouts)}"


def own_pairs(lq: Path, gt: Path) -> FoundSet:
    """Two folders of a user, matched by stem, as a set.

    Raises:
        InputError: a folder is missing or empty, or the two share no stem.
    """
    pairs, failures = match_files(lq, gt)
    record = BenchmarkRecord(
        name=OWN_PAIRS, title="own pairs", task="own", layouts=(), num_pictures=None, terms="one's own", source="-"
    )
    files = tuple(PictureFiles(name=stem, scene=stem, lq=paths[0], gt=paths[1]) for stem, paths in pairs.items())
    problems = tuple(f"{stem}: {reason}" for stem, reason in failures.items())
    return FoundSet(record=record, layout_source="own folders", files=files, problems=problems)


def _read_layout(record: BenchmarkRecord, layout: SetLayout, root: Path) -> FoundSet | None:
    """The pictures that lie as a layout says; None without any."""
    lq_files = None if layout.lq is None else _keyed(root, layout.lq, layout.lq_key)
    gt_files = None if layout.gt is None else _keyed(root, layout.gt, layout.gt_key)
    if not (lq_files if lq_files is not None else gt_files):
        return None
    problems: list[str] = []
    truths = {} if gt_files is None else _one_each(gt_files, problems)
    files = []
    if lq_files is None:
        names = _names_of([path for path, _ in gt_files or []])
        files = [
            PictureFiles(name=names[path], scene=scene, lq=None, gt=path) for scene, path in sorted(truths.items())
        ]
    else:
        names = _names_of([path for path, _ in lq_files])
        for path, scene in lq_files:
            if gt_files is not None and scene not in truths:
                problems.append(f"{path.name} has no ground truth of the key {scene!r}")
                continue
            files.append(PictureFiles(name=names[path], scene=scene, lq=path, gt=truths.get(scene)))
    if not files:
        return None
    files.sort(key=lambda each: each.name)
    return FoundSet(record=record, layout_source=layout.source, files=tuple(files), problems=tuple(problems))


def _keyed(root: Path, pattern: str, key: str) -> list[tuple[Path, str]]:
    """Pictures that a glob finds, each with its key; those without one are other files of the folder."""
    found = []
    for path in sorted(root.glob(pattern)):
        match = re.search(key, path.relative_to(root).as_posix())
        if match is not None and path.is_file() and is_image_path(path) and not path.name.startswith("."):
            found.append((path, "/".join(match.groups())))
    return found


def _one_each(files: list[tuple[Path, str]], problems: list[str]) -> dict[str, Path]:
    """Key to file; where several have one key, the first is taken and the others are named."""
    by_key: dict[str, list[Path]] = defaultdict(list)
    for path, key in files:
        by_key[key].append(path)
    problems += [
        f"{path.name} has the same key {key!r} as another" for key, same in by_key.items() for path in same[1:]
    ]
    return {key: same[0] for key, same in by_key.items()}


def _names_of(paths: list[Path]) -> Mapping[Path, str]:
    """Unique names: stems, or where these repeat, paths from the folder that holds all of them.

    The paths have no suffix, unless files of one folder differ in it alone.
    """
    counts = Counter(path.stem for path in paths)
    if all(count == 1 for count in counts.values()):
        return {path: path.stem for path in paths}
    parents = [path.parent.parts for path in paths]
    shared = 0
    while all(len(parts) > shared and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    names = {path: "/".join((*path.parts[shared:-1], path.stem)) for path in paths}
    if len(set(names.values())) == len(paths):
        return names
    return {path: "/".join(path.parts[shared:]) for path in paths}
