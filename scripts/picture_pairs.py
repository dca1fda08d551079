"""Pairs of a damaged and a clean picture that measurements run on, and the PSNR between them.

Protocol "uint8": the clean 8-bit picture is degraded, clipped and rounded to 8 bits; the PSNR counts all RGB pixels of
a picture with a data range of 255. All draws of a picture depend on its file name and the recipe alone.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.degradations.recipes import apply_recipe, parse_recipe
from ldrestore.images.files import is_image_path, read_photo

SEVERITY = 0.5
"""Of every step that does not set its own."""
REAL_SETS = ("polyu", "sots_indoor", "rain100h")
"""Folders of pairs, each with `lq` and `gt`, that nothing was trained on."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two pictures of one scene, (H, W, 3) uint8."""

    name: str
    """Of the file."""
    lq: np.ndarray
    """Damaged."""
    gt: np.ndarray
    """Clean."""


def list_paths(folder: Path) -> list[Path]:
    """The pictures that lie right in a folder, by name."""
    return sorted(path for path in folder.iterdir() if is_image_path(path))


def centre_of(picture: np.ndarray, side: int) -> np.ndarray:
    """The square at the centre of (H, W, 3), or the whole of a shorter axis."""
    height, width = picture.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def degraded(gt: np.ndarray, recipe: str, name: str) -> np.ndarray:
    """A clean (H, W, 3) uint8 picture, degraded and rounded to 8 bits; seeded by the file's name and the recipe."""
    generator = np.random.default_rng(zlib.crc32(f"{name}/{recipe}".encode()))
    lq = apply_recipe(gt.astype(np.float32) / 255, parse_recipe(recipe), severity=SEVERITY, generator=generator)
    return np.rint(lq * 255).astype(np.uint8)


def synthetic_pairs(paths: list[Path], recipe: str) -> Iterator[Pair]:
    """Each picture, and itself degraded; with the recipe "clean" twice itself."""
    for path in paths:
        gt = read_photo(path).pixels
        yield Pair(path.name, gt if recipe == "clean" else degraded(gt, recipe, path.name), gt)


def real_pairs(folder: Path, *, limit: int | None = None) -> Iterator[Pair]:
    """The pairs of a folder's `lq` and `gt`, by name; the first `limit` of them."""
    dataset = PairedDataset(PairedDataConfig(lq_folder=folder / "lq", gt_folder=folder / "gt"), patch_size=None, seed=0)
    for index in range(len(dataset))[:limit]:
        item = dataset[(0, index)]
        lq, gt = (np.rint(item[key].numpy().transpose(1, 2, 0) * 255).astype(np.uint8) for key in ("lq", "gt"))
        yield Pair(item["name"], np.ascontiguousarray(lq), np.ascontiguousarray(gt))


def psnr(restored: np.ndarray, gt: np.ndarray) -> float:
    """PSNR in dB of two uint8 pictures over all channels, data range 255; equal ones give 100."""
    error = np.mean((restored.astype(np.float64) - gt.astype(np.float64)) ** 2)
    return 100.0 if error == 0 else float(10 * np.log10(255.0**2 / error))
