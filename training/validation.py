"""PSNR of a network on degraded clean pictures, the same ones at each validation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ldrestore.datasets.pictures import generator_of, list_pictures, read_rgb, to_tensor
from ldrestore.degradations.recipes import apply_recipe, parse_recipe
from ldrestore.errors import ConfigError

CLEAN = "clean"
"""Name of the recipe that leaves a picture as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationConfig:
    """Which pictures are degraded how."""

    folder: Path
    """Clean pictures, not among those of training; read from sub-folders too."""
    recipes: tuple[str, ...]
    """Recipes, e.g. "gaussian_noise(sigma_255=25)"; "clean" measures how well an intact picture comes back."""
    severity: float = 0.5
    """Severity in [0, 1] of what a recipe leaves open."""
    num_pictures: int = 8
    """How many pictures are taken, in the order of their paths."""
    crop_size: int = 256
    """Side in pixels of the square at the centre that is taken; pictures that are smaller are taken whole."""
    seed: int = 0
    """Start of the degradations' random numbers."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.recipes or self.num_pictures < 1 or self.crop_size < 1 or not 0 <= self.severity <= 1:
            raise ConfigError(
                "validation: expected at least one recipe, num_pictures >= 1, crop_size >= 1, 0 <= severity <= 1, got "
                f"{self.recipes}, {self.num_pictures}, {self.crop_size}, {self.severity}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class ValidationPair:
    """A clean picture and its degraded twin."""

    recipe: str
    """What was done."""
    lq: Tensor
    """(3, H, W) uint8."""
    gt: Tensor
    """(3, H, W) uint8."""


def create_pairs(config: ValidationConfig) -> list[ValidationPair]:
    """Degrade the pictures; equal configs give equal pairs.

    Raises:
        ConfigError: the folder is missing or empty.
        InputError: a recipe cannot be parsed.
    """
    pairs = []
    for index, path in enumerate(list_pictures([config.folder])[: config.num_pictures]):
        gt = _centre(read_rgb(path), config.crop_size).astype(np.float32) / 255.0
        for recipe in config.recipes:
            lq = gt
            if recipe != CLEAN:
                generator = generator_of(config.seed, index)
                lq = apply_recipe(gt, parse_recipe(recipe), severity=config.severity, generator=generator)
            pairs.append(ValidationPair(recipe, _to_8_bit(to_tensor(lq)), _to_8_bit(to_tensor(gt))))
    return pairs


def validate_pairs(network: nn.Module, pairs: list[ValidationPair]) -> dict[str, float]:
    """Mean PSNR in dB for each recipe as "psnr/<recipe>", and over all pairs as "psnr".

    Args:
        network: Takes (1, 3, H, W) in [0, 1] to the restored picture.
        pairs: What `create_pairs` made.
    """
    device = next(network.parameters()).device
    values: dict[str, list[float]] = {}
    for pair in pairs:
        lq = pair.lq.to(device).float().div(255.0).unsqueeze(0)  # (1, 3, H, W)
        restored = network(lq).float().squeeze(0)  # (3, H, W)
        values.setdefault(pair.recipe, []).append(psnr_8bit(_to_8_bit(restored), pair.gt.to(device)))
    means = {f"psnr/{recipe}": float(np.mean(figures)) for recipe, figures in values.items()}
    return {**means, "psnr": float(np.mean([figure for figures in values.values() for figure in figures]))}


def psnr_8bit(restored: Tensor, gt: Tensor) -> float:
    """PSNR over all channels of RGB, peak 255, in dB; 100 for equal pictures, so that means stay finite.

    Args:
        restored: (3, H, W) uint8.
        gt: Same shape, uint8.
    """
    mean_square = (restored.double() - gt.double()).square().mean().item()
    return 100.0 if mean_square == 0 else float(10 * np.log10(255.0**2 / mean_square))


def _to_8_bit(picture: Tensor) -> Tensor:
    """Values around [0, 1], clipped and rounded to uint8."""
    return picture.clamp(0, 1).mul(255.0).round().to(torch.uint8)


def _centre(picture: np.ndarray, side: int) -> np.ndarray:
    """The square at the centre of (H, W, 3), or the whole of a shorter axis."""
    height, width = picture.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return picture[top : top + side, left : left + side]
