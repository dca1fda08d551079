"""Pairs from two folders whose files share their stems, or a part of them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ldrestore.datasets.pictures import (
    check_pictures,
    index_of,
    list_pictures,
    picture_size,
    random_window,
    read_rgb,
    to_tensor,
    turned,
)
from ldrestore.datasets.seeds import Key, item_generator
from ldrestore.degradations.catalog import DEGRADATIONS
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, DatasetError


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDataConfig:
    """Two folders of pictures that belong together by name."""

    lq_folder: Path
    """Degraded pictures."""
    gt_folder: Path
    """Clean pictures of the same sizes."""
    key_pattern: str | None = None
    """Regular expression with one group, searched in the stems: pictures whose groups are equal belong together, such
    as "^(\\d+)" for 0012_0.85_0.2.jpg and 0012.jpg. Then many degraded pictures may share a clean one, and clean ones
    may be left over. Null for equal stems, one to one."""
    degradations: tuple[str, ...] = ()
    """What all the degraded pictures suffer from, names of `list_degradations()`."""

    def __post_init__(self) -> None:
        """Check the pattern and the names."""
        for name in self.degradations:
            DEGRADATIONS.get(name)
        if self.key_pattern is None:
            return
        try:
            num_groups = re.compile(self.key_pattern).groups
        except re.error as error:
            raise ConfigError(f"key_pattern {self.key_pattern!r} is no regular expression: {error}") from error
        if num_groups != 1:
            raise ConfigError(f"key_pattern {self.key_pattern!r} needs one group in parentheses, got {num_groups}")


class PairedDataset(Dataset[dict[str, Any]]):
    """Degraded and clean pictures by name; each item is a pure function of (seed, epoch, index).

    `dataset[(epoch, index)]` gives "lq" and "gt", both (3, P, P) float32 in [0, 1], or whole pictures where
    `patch_size` is None; "degradations", (N,) float32, 1 for each of `list_degradations()` that the config names; and
    "name", the stem of the degraded picture.
    """

    def __init__(self, config: PairedDataConfig, *, patch_size: int | None, seed: int) -> None:
        """Match the two folders.

        Args:
            config: The folders.
            patch_size: Side P of random crops, flipped and turned; None for whole pictures as they are.
            seed: Start of all random numbers.

        Raises:
            ConfigError: a folder is missing or empty, a clean picture's key occurs twice, or a picture has no partner.
            DatasetError: by its header a file is no picture, or a pair differs in size.
        """
        self.patch_size, self.seed = patch_size, seed
        lq_paths = _by_stem(config.lq_folder)
        if config.key_pattern is None:
            partners = _equal_stems(config, lq_paths)
        else:
            partners = _equal_groups(config, lq_paths, re.compile(config.key_pattern))
        self.stems = sorted(lq_paths)
        self._pairs = [(lq_paths[stem], partners[stem]) for stem in self.stems]
        check_pairs(self._pairs)
        labels = [float(name in config.degradations) for name in list_degradations()]
        self._degradations = torch.tensor(labels)

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._pairs)

    def source_path(self, index: int) -> Path:
        """The file that an item is cut from: the degraded picture."""
        return self._pairs[index][0]

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One pair; see the class.

        Raises:
            DatasetError: the two pictures differ in size.
            ImageFileError: one of them cannot be read.
            ShapeError: they are smaller than a patch.
        """
        index = index_of(key)
        lq_path, gt_path = self._pairs[index]
        lq, gt = read_rgb(lq_path), read_rgb(gt_path)
        if lq.shape != gt.shape:
            raise _unequal(lq_path, gt_path, lq.shape[1::-1], gt.shape[1::-1])
        if self.patch_size is not None:
            lq, gt = self._cropped(lq, gt, item_generator(self.seed, key))
        return {
            "lq": to_tensor(lq.astype(np.float32) / 255.0),
            "gt": to_tensor(gt.astype(np.float32) / 255.0),
            "degradations": self._degradations,
            "name": self.stems[index],
        }

    def _cropped(self, lq: np.ndarray, gt: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The same random square of both pictures, flipped and turned alike."""
        assert self.patch_size is not None
        rows, columns = random_window(*gt.shape[:2], side=self.patch_size, generator=generator)
        turn = int(generator.integers(8))
        return turned(lq[rows, columns], turn), turned(gt[rows, columns], turn)


def check_pairs(pairs: list[tuple[Path, Path]]) -> None:
    """Compare the sizes of pictures that belong together, by their headers.

    Args:
        pairs: Degraded and clean file.

    Raises:
        DatasetError: a file is no picture, or a pair differs in size; names the first one and what to do.
    """
    check_pictures(path for pair in pairs for path in pair)
    for lq_path, gt_path in pairs:
        if picture_size(lq_path) != picture_size(gt_path):
            # A header may leave the orientation to what follows the pixels; these have the last word.
            lq, gt = read_rgb(lq_path), read_rgb(gt_path)
            if lq.shape != gt.shape:
                raise _unequal(lq_path, gt_path, lq.shape[1::-1], gt.shape[1::-1])


def _unequal(lq_path: Path, gt_path: Path, lq_size: tuple[int, ...], gt_size: tuple[int, ...]) -> DatasetError:
    """The error of a pair whose sizes, (width, height), differ."""
    (lq_width, lq_height), (gt_width, gt_height) = lq_size, gt_size
    return DatasetError(
        f"{lq_path} is {lq_width}x{lq_height}, {gt_path} {gt_width}x{gt_height}; the pictures of a pair must have "
        "one size: cut both alike, or take them out of their folders"
    )


def _by_stem(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their path within it, without suffix.

    Raises:
        ConfigError: two pictures differ in their suffix alone.
    """
    paths: dict[str, Path] = {}
    for path in list_pictures([folder]):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in paths:
            raise ConfigError(f"{paths[stem]} and {path} have the same stem; keep one of them")
        paths[stem] = path
    return paths


def _equal_stems(config: PairedDataConfig, lq_paths: dict[str, Path]) -> dict[str, Path]:
    """The clean picture of each degraded one's stem.

    Raises:
        ConfigError: a picture of either folder has no partner.
    """
    gt_paths = _by_stem(config.gt_folder)
    lonely = sorted(lq_paths.keys() ^ gt_paths.keys())
    if lonely:
        raise ConfigError(
            f"{len(lonely)} pictures have no partner of the same stem in {config.lq_folder} and "
            f"{config.gt_folder}: {', '.join(lonely[:5])}"
        )
    return gt_paths


def _equal_groups(config: PairedDataConfig, lq_paths: dict[str, Path], pattern: re.Pattern[str]) -> dict[str, Path]:
    """The clean picture whose stem holds the same group as a degraded one's.

    Raises:
        ConfigError: a stem does not fit, two clean pictures have one group, or a degraded one has no partner.
    """

    def key_of(path: Path) -> str:
        found = pattern.search(path.stem)
        key = found.group(1) if found is not None else None
        if not key:  # an empty one would be that of every picture
            raise ConfigError(f"key_pattern {pattern.pattern!r} finds nothing in the name of {path}")
        return key

    gt_paths: dict[str, Path] = {}
    for path in list_pictures([config.gt_folder]):
        other = gt_paths.setdefault(key_of(path), path)
        if other != path:
            raise ConfigError(f"{other} and {path} have the same key {key_of(path)!r}; make key_pattern more exact")
    lonely = sorted(stem for stem, path in lq_paths.items() if key_of(path) not in gt_paths)
    if lonely:
        raise ConfigError(
            f"{len(lonely)} pictures of {config.lq_folder} have no partner in {config.gt_folder}: "
            f"{', '.join(lonely[:5])}"
        )
    return {stem: gt_paths[key_of(path)] for stem, path in lq_paths.items()}
