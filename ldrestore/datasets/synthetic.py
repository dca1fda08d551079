"""Pairs made from clean pictures: gt is a random crop, lq that crop degraded by a random recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch.utils.data import Dataset

from ldrestore.datasets.pictures import (
    Key,
    enlarged_to_fit,
    generator_of,
    index_of,
    list_pictures,
    random_window,
    read_rgb,
    to_tensor,
    turned,
)
from ldrestore.degradations.recipes import Recipe, apply_recipe, parse_recipe
from ldrestore.errors import ConfigError

MARGIN = 16
"""Pixels around a crop that are degraded with it and cut away, so that blurs see what lies beyond the border."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeShare:
    """One recipe of a mixture and how often it is drawn."""

    recipe: str
    """Degradation recipe, e.g. "rain+gaussian_noise"."""
    weight: float
    """Relative frequency, above 0."""
    severity: tuple[float, float] = (0.05, 1.0)
    """Range in [0, 1] from which the severity is drawn uniformly."""

    def __post_init__(self) -> None:
        """Check the weight and the range."""
        low, high = self.severity
        if self.weight <= 0 or not 0 <= low <= high <= 1:
            raise ConfigError(
                f"{self.recipe}: expected weight > 0 and 0 <= severity <= 1, low first, "
                f"got weight {self.weight}, severity {self.severity}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticDataConfig:
    """Clean folders and the mixture that degrades them."""

    folders: tuple[Path, ...]
    """Folders of clean pictures, searched recursively."""
    mixture: tuple[RecipeShare, ...]
    """What the pictures are degraded by, one recipe a picture and epoch."""
    clean_weight: float = 0.0
    """Relative frequency of pictures left as they are, beside the weights of the mixture."""
    min_scale: float = 0.5
    """Pictures are shrunk by a factor drawn uniformly from [min_scale, 1] before the crop; 1 leaves their size."""
    in_memory: bool = False
    """Whether all pictures are decoded once and kept, 3 bytes a pixel."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.mixture:
            raise ConfigError("mixture is empty; name at least one recipe")
        if not 0 < self.min_scale <= 1:
            raise ConfigError(f"min_scale must lie in (0, 1], got {self.min_scale}")
        if self.clean_weight < 0:
            raise ConfigError(f"clean_weight must not be negative, got {self.clean_weight}")


class SyntheticDataset(Dataset[dict[str, Any]]):
    """Degraded and clean crops; each item is a pure function of (seed, epoch, index).

    `dataset[(epoch, index)]` gives "lq" and "gt", both (3, P, P) float32 in [0, 1] with lq rounded to 8 bits as a
    stored picture is, and "name", the file name of the clean picture.
    """

    def __init__(self, config: SyntheticDataConfig, *, patch_size: int, seed: int) -> None:
        """List the pictures and parse the recipes.

        Args:
            config: Folders and mixture.
            patch_size: Side P of the crops in pixels.
            seed: Start of all random numbers.

        Raises:
            ConfigError: a folder is missing or empty.
            InputError: a recipe cannot be parsed.
        """
        self.config, self.patch_size, self.seed = config, patch_size, seed
        self.paths = list_pictures(config.folders)
        self._recipes: list[Recipe | None] = [parse_recipe(share.recipe) for share in config.mixture]
        weights = [share.weight for share in config.mixture]
        severities = [share.severity for share in config.mixture]
        if config.clean_weight > 0:
            self._recipes.append(None)
            weights.append(config.clean_weight)
            severities.append((0.0, 0.0))
        self._shares = np.cumsum(weights) / np.sum(weights)
        self._severities = severities
        self._pictures = [read_rgb(path) for path in self.paths] if config.in_memory else None

    def __len__(self) -> int:
        """Number of clean pictures."""
        return len(self.paths)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One pair; see the class."""
        generator = generator_of(self.seed, key)
        index = index_of(key)
        clean = self._clean_crop(index, generator)  # (P + 2 margin, P + 2 margin, 3) uint8
        drawn = int(np.searchsorted(self._shares, generator.random(), side="right"))
        severity = float(generator.uniform(*self._severities[drawn]))
        gt = clean.astype(np.float32) / 255.0
        recipe = self._recipes[drawn]
        lq = gt if recipe is None else apply_recipe(gt, recipe, severity=severity, generator=generator)
        lq = np.rint(lq * 255.0) / 255.0
        inner = slice(MARGIN, -MARGIN)
        return {"lq": to_tensor(lq[inner, inner]), "gt": to_tensor(gt[inner, inner]), "name": self.paths[index].name}

    def _clean_crop(self, index: int, generator: np.random.Generator) -> np.ndarray:
        """A random square of a picture, shrunk, flipped and turned: (P + 2 margin, P + 2 margin, 3) uint8."""
        picture = self._pictures[index] if self._pictures is not None else read_rgb(self.paths[index])
        side = self.patch_size + 2 * MARGIN
        picture = enlarged_to_fit(picture, side)
        scale = generator.uniform(self.config.min_scale, 1.0)
        scale = max(scale, side / min(picture.shape[:2]))
        source_side = min(round(side / scale), *picture.shape[:2])
        rows, columns = random_window(*picture.shape[:2], side=source_side, generator=generator)
        crop = picture[rows, columns]
        if source_side != side:
            crop = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        return turned(crop, int(generator.integers(8)))
