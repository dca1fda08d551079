"""Pairs from two folders whose files share their stems."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ldrestore.datasets.pictures import (
    Key,
    generator_of,
    index_of,
    list_pictures,
    random_window,
    read_rgb,
    to_tensor,
    turned,
)
from ldrestore.errors import ConfigError, ShapeError


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDataConfig:
    """Two folders of pictures with equal stems."""

    lq_folder: Path
    """Degraded pictures."""
    gt_folder: Path
    """Clean pictures of the same stems and sizes."""


class PairedDataset(Dataset[dict[str, Any]]):
    """Degraded and clean pictures by stem; each item is a pure function of (seed, epoch, index).

    `dataset[(epoch, index)]` gives "lq" and "gt", both (3, P, P) float32 in [0, 1], or whole pictures where
    `patch_size` is None, and "name", the stem.
    """

    def __init__(self, config: PairedDataConfig, *, patch_size: int | None, seed: int) -> None:
        """Match the two folders.

        Args:
            config: The folders.
            patch_size: Side P of random crops, flipped and turned; None for whole pictures as they are.
            seed: Start of all random numbers.

        Raises:
            ConfigError: a folder is missing or empty, a stem occurs twice, or a picture has no partner.
        """
        self.patch_size, self.seed = patch_size, seed
        lq_paths, gt_paths = _by_stem(config.lq_folder), _by_stem(config.gt_folder)
        lonely = sorted(lq_paths.keys() ^ gt_paths.keys())
        if lonely:
            raise ConfigError(
                f"{len(lonely)} pictures have no partner of the same stem in {config.lq_folder} and "
                f"{config.gt_folder}: {', '.join(lonely[:5])}"
            )
        self.stems = sorted(lq_paths)
        self._pairs = [(lq_paths[stem], gt_paths[stem]) for stem in self.stems]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._pairs)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One pair; see the class.

        Raises:
            ShapeError: the two pictures differ in size, or are smaller than a patch.
        """
        index = index_of(key)
        lq_path, gt_path = self._pairs[index]
        lq, gt = read_rgb(lq_path), read_rgb(gt_path)
        if lq.shape != gt.shape:
            raise ShapeError(f"{lq_path} is {lq.shape[1]}x{lq.shape[0]}, {gt_path} {gt.shape[1]}x{gt.shape[0]}")
        if self.patch_size is not None:
            lq, gt = self._cropped(lq, gt, generator_of(self.seed, key))
        return {
            "lq": to_tensor(lq.astype(np.float32) / 255.0),
            "gt": to_tensor(gt.astype(np.float32) / 255.0),
            "name": self.stems[index],
        }

    def _cropped(self, lq: np.ndarray, gt: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The same random square of both pictures, flipped and turned alike."""
        assert self.patch_size is not None
        rows, columns = random_window(*gt.shape[:2], side=self.patch_size, generator=generator)
        turn = int(generator.integers(8))
        return turned(lq[rows, columns], turn), turned(gt[rows, columns], turn)


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
