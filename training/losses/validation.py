"""PSNR of a network on degraded pictures, the same ones at each validation: made from clean ones, or pairs of files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ldrestore.datasets.compared_pairs import file_pairs, synthetic_pairs
from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.pictures import list_pictures
from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.metrics.psnr import MEAN_CAP, psnr

UNNAMED_PAIRS = "pairs"
"""Recipe of pairs of files that name no degradation: nobody knows what was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationConfig:
    """Which pictures are degraded how, or which pairs are taken."""

    folder: Path | None = None
    """Clean pictures, not among those of training; read from sub-folders too. Null where `pairs` are given."""
    recipes: tuple[str, ...] = ()
    """Recipes, e.g. "gaussian_noise(sigma_255=25)"; "clean" measures how well an intact picture comes back."""
    recipe_folders: Mapping[str, Path] = field(default_factory=dict)
    """Recipe to a folder of its own, for domains whose clean pictures are not those of `folder`."""
    pairs: PairedDataConfig | None = None
    """Degraded files and their clean partners, not among those of training."""
    severity: float = 0.5
    """Severity in [0, 1] of what a recipe leaves open."""
    num_pictures: int = 8
    """How many pictures are taken, in the order of their paths."""
    crop_size: int = 256
    """Side in pixels of the square at the centre that is taken; pictures that are smaller are taken whole."""
    seed: int = 0
    """Of the degradations' draws, which else follow from file name and recipe; all published figures have 0."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if (self.folder is None) != (not self.recipes) or (self.folder is None) == (self.pairs is None):
            raise ConfigError("validation: give a folder with at least one of recipes, or pairs, and not both")
        for recipe in self.recipe_folders:
            if recipe not in self.recipes:
                raise UnknownNameError("recipe of validation.recipe_folders", recipe, self.recipes)
        if self.num_pictures < 1 or self.crop_size < 1 or not 0 <= self.severity <= 1:
            raise ConfigError(
                "validation: expected num_pictures >= 1, crop_size >= 1, 0 <= severity <= 1, got "
                f"{self.num_pictures}, {self.crop_size}, {self.severity}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class ValidationPair:
    """A clean picture and its degraded twin."""

    recipe: str
    """What was done; of pairs of files the degradations that they name, joined by "+", or `UNNAMED_PAIRS`."""
    source: Path
    """The file that the degraded picture is made or cut from."""
    lq: Tensor
    """(3, H, W) uint8."""
    gt: Tensor
    """(3, H, W) uint8."""


def create_pairs(config: ValidationConfig | None) -> list[ValidationPair]:
    """Degrade the pictures, or read the pairs; equal configs give equal pairs, and None gives none.

    They are those of `datasets.compared_pairs`: what a run validates on is what measurements publish figures of.

    Tasks do it when they are made, so that a wrong folder ends a run before its first step.

    Raises:
        ConfigError: a folder is missing or empty, or a picture has no partner.
        DatasetError: a picture cannot be read or degraded, or a pair differs in size; names the file.
        InputError: a recipe cannot be parsed.
    """
    if config is None:
        return []
    if config.pairs is not None:
        return _read_pairs(config, config.pairs)
    assert config.folder is not None
    pairs = []
    for recipe in config.recipes:
        paths = list_pictures([Path(config.recipe_folders.get(recipe, config.folder))])[: config.num_pictures]
        made = synthetic_pairs(paths, recipe, crop=config.crop_size, severity=config.severity, seed=config.seed)
        for path, pair in zip(paths, made, strict=True):
            pairs.append(ValidationPair(recipe, path, _as_tensor(pair.lq), _as_tensor(pair.gt)))
    return pairs


def _read_pairs(config: ValidationConfig, folders: PairedDataConfig) -> list[ValidationPair]:
    """The squares at the centre of the first pairs of files."""
    dataset = PairedDataset(folders, patch_size=None, seed=0)
    recipe = "+".join(folders.degradations) or UNNAMED_PAIRS
    found = file_pairs(folders, crop=config.crop_size, limit=config.num_pictures)
    return [
        ValidationPair(recipe, dataset.source_path(index), _as_tensor(pair.lq), _as_tensor(pair.gt))
        for index, pair in enumerate(found)
    ]


def validate_pairs(
    restore: Callable[[Tensor, ValidationPair], Tensor], pairs: list[ValidationPair], *, device: torch.device
) -> dict[str, float]:
    """Mean PSNR in dB for each recipe as "psnr/<recipe>", and what it rose by as "gain/<recipe>"; and over all pairs.

    Args:
        restore: Takes (1, 3, H, W) in [0, 1], and the pair that it is from, to the restored picture.
        pairs: What `create_pairs` made.
        device: Where pictures are restored.
    """
    values: dict[str, list[float]] = {}
    for pair in pairs:
        lq, gt = pair.lq.to(device), pair.gt.to(device)
        restored = restore(lq.float().div(255.0).unsqueeze(0), pair).float().squeeze(0)  # (3, H, W)
        figure = psnr_8bit(_to_8_bit(restored), gt)
        values.setdefault(f"psnr/{pair.recipe}", []).append(figure)
        values.setdefault(f"gain/{pair.recipe}", []).append(figure - psnr_8bit(lq, gt))
    means = {name: float(np.mean(figures)) for name, figures in values.items()}
    for kind in ("psnr", "gain"):
        all_figures = [figure for name, figures in values.items() if name.startswith(kind) for figure in figures]
        means[kind] = float(np.mean(all_figures))
    return means


def psnr_8bit(restored: Tensor, gt: Tensor) -> float:
    """PSNR over all channels of RGB, peak 255, in dB; `MEAN_CAP` for equal pictures, so that means stay finite.

    Args:
        restored: (3, H, W) uint8.
        gt: Same shape, uint8.
    """
    return psnr(restored.cpu().numpy(), gt.cpu().numpy(), cap=MEAN_CAP)


def _to_8_bit(picture: Tensor) -> Tensor:
    """Values around [0, 1], clipped and rounded to uint8."""
    return picture.clamp(0, 1).mul(255.0).round().to(torch.uint8)


def _as_tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 to (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
