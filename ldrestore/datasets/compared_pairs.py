"""Pairs of a damaged and a clean picture that results are compared on, in validation, measurements and figures.

Protocol "uint8": the clean 8-bit picture is degraded, clipped and rounded to 8 bits. All draws of a picture follow from
its file name, the recipe and the seed, see `seeds.pair_generator`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.pictures import fault_of_picture, read_rgb
from ldrestore.datasets.seeds import pair_generator
from ldrestore.degradations.recipes import apply_recipe, parse_recipe

CLEAN_RECIPE = "clean"
"""Name of the recipe that leaves a picture as it is."""
SEVERITY = 0.5
"""Of every step that does not set its own, unless it is said otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two pictures of one scene, (H, W, 3) uint8."""

    name: str
    """Of the clean picture's file; of pairs of files the stem that they share."""
    lq: np.ndarray
    """Damaged."""
    gt: np.ndarray
    """Clean."""


def centre_of(picture: np.ndarray, side: int) -> np.ndarray:
    """The square at the centre of (H, W, 3), or the whole of a shorter axis."""
    height, width = picture.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def degraded(gt: np.ndarray, recipe: str, name: str, *, severity: float = SEVERITY, seed: int = 0) -> np.ndarray:
    """A clean (H, W, 3) uint8 picture, degraded and rounded to 8 bits; itself for the recipe "clean".

    Args:
        gt: Clean picture; where a part is cut out, that part.
        recipe: What is done to it.
        name: Of its file.
        severity: In [0, 1], of every step that does not set its own.
        seed: Of the draws.

    Raises:
        InputError: the recipe cannot be parsed.
    """
    if recipe == CLEAN_RECIPE:
        return gt
    generator = pair_generator(name, recipe, seed=seed)
    lq = apply_recipe(gt.astype(np.float32) / 255, parse_recipe(recipe), severity=severity, generator=generator)
    return np.rint(lq * 255).astype(np.uint8)


def synthetic_pairs(
    paths: Iterable[Path], recipe: str, *, crop: int | None = None, severity: float = SEVERITY, seed: int = 0
) -> Iterator[Pair]:
    """Each clean picture, and itself degraded.

    Args:
        paths: Clean pictures.
        recipe: What is done to them.
        crop: Side in pixels of the square at the centre that is degraded; None for whole pictures.
        severity: See `degraded`.
        seed: See `degraded`.

    Raises:
        InputError: the recipe cannot be parsed.
        DatasetError: a picture cannot be read or degraded; names it.
    """
    if recipe != CLEAN_RECIPE:
        parse_recipe(recipe)
    for path in paths:
        try:
            whole = read_rgb(path)
            gt = whole if crop is None else centre_of(whole, crop)
            lq = degraded(gt, recipe, path.name, severity=severity, seed=seed)
        except Exception as error:  # whatever a decoder or a degradation raises: the file must be named
            raise fault_of_picture(path, error) from error
        yield Pair(path.name, lq, gt)


def file_pairs(config: PairedDataConfig, *, crop: int | None = None, limit: int | None = None) -> Iterator[Pair]:
    """Pairs of files, in the order of their stems.

    Args:
        config: The two folders.
        crop: Side in pixels of the square at the centre; None for whole pictures.
        limit: Only so many, from the first on.

    Raises:
        ConfigError: a folder is missing or empty, or a picture has no partner.
        DatasetError: a picture cannot be read, or the two of a pair differ in size; names them.
    """
    dataset = PairedDataset(config, patch_size=None, seed=0)
    for index in range(len(dataset))[:limit]:
        try:
            item = dataset[(0, index)]
        except Exception as error:
            raise fault_of_picture(dataset.source_path(index), error) from error
        lq, gt = (np.rint(item[key].numpy().transpose(1, 2, 0) * 255).astype(np.uint8) for key in ("lq", "gt"))
        side = max(gt.shape) if crop is None else crop
        yield Pair(item["name"], centre_of(lq, side), centre_of(gt, side))
