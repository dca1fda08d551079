"""Pairs made from clean pictures: gt is a random crop, lq that crop degraded by a random recipe, with its names."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from ldrestore.datasets.intact import DarkeningConfig, IntactConfig, draw_intact
from ldrestore.datasets.pictures import (
    check_pictures,
    enlarged_to_fit,
    index_of,
    list_pictures,
    random_window,
    read_rgb,
    to_tensor,
    turned,
)
from ldrestore.datasets.random_chain import RandomChainConfig, draw_chain
from ldrestore.datasets.seeds import Key, item_generator
from ldrestore.degradations.catalog import FILE, counted_name, step_record
from ldrestore.degradations.recipes import (
    Recipe,
    Step,
    apply_recipe,
    in_physical_order,
    list_degradations,
    parse_recipe,
)
from ldrestore.errors import ConfigError

MARGIN = 16
"""Pixels around a crop that are degraded with it and cut away, so that blurs see what lies beyond the border."""

FULL_LABEL_SEVERITY = 0.3
"""Severity from which a degradation counts as wholly there; below, its label falls to 0 in proportion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomMixtureConfig:
    """Mixtures of two or three degradations drawn anew for each picture, in the physical order of image formation.

    Two of one place in that order (two noises, two blurs, rain and snow) do not meet.
    """

    weight: float
    """Relative frequency beside the weights of the named recipes, above 0."""
    names: tuple[str, ...]
    """Degradations to draw from, equally often."""
    max_steps: int = 3
    """Largest number of degradations in one picture, at least 2."""
    severity: tuple[float, float] = (0.1, 0.8)
    """Range in [0, 1] from which each step draws its own severity."""

    def __post_init__(self) -> None:
        """Check the ranges and the names."""
        low, high = self.severity
        if self.weight <= 0 or not 0 <= low <= high <= 1 or self.max_steps < 2:
            raise ConfigError(
                "random_mixture: expected weight > 0, max_steps >= 2 and 0 <= severity <= 1, low first, "
                f"got {self.weight}, {self.max_steps}, {self.severity}"
            )
        if len({step_record(name).order for name in self.names}) < self.max_steps:
            raise ConfigError(
                f"random_mixture: {self.max_steps} steps need that many kinds of degradations, got {list(self.names)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampleConfig:
    """Pairs whose both sides are shrunk after the damage was done and before the file was written.

    Most pictures that people have went through this: noise of neighbouring pixels is then alike, blur is finer, and the
    blocks of JPEG are whole. They are not enlarged: gt would be soft, and nothing would tell it from low resolution.
    """

    probability: float
    """Share of the pairs, in [0, 1]."""
    scale: tuple[float, float] = (0.6, 1.0)
    """Range of the factor of the sides, drawn uniformly."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        low, high = self.scale
        if not 0 <= self.probability <= 1 or not 0.25 <= low <= high <= 1:
            raise ConfigError(
                "resample: expected probability in [0, 1] and 0.25 <= scale <= 1, low first, "
                f"got {self.probability}, {self.scale}"
            )


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
    swap_channels: float = 0.0
    """Share of the clean pictures whose red, green and blue change places at random before the damage, in [0, 1]: more
    colours than a few hundred photographs have."""
    random_mixture: RandomMixtureConfig | None = None
    """Mixtures drawn at random, besides the named recipes; null for none."""
    random_chain: RandomChainConfig | None = None
    """Chains in any order and with repetition, besides the named recipes; null for none."""
    darkening: DarkeningConfig | None = None
    """A random gamma upon the clean pictures, before the damage; null for none."""
    intact: IntactConfig | None = None
    """Clean pictures that look damaged and are not; null for none."""
    resample: ResampleConfig | None = None
    """Resizing after the damage; null for none."""
    max_pictures: int | None = None
    """Take only so many pictures, spread evenly over the list, as for few-shot adaptation; null for all."""
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
        if not 0 <= self.swap_channels <= 1:
            raise ConfigError(f"swap_channels must lie in [0, 1], got {self.swap_channels}")
        if self.max_pictures is not None and self.max_pictures < 1:
            raise ConfigError(f"max_pictures must be at least 1, got {self.max_pictures}; write null for all")


class DrawnPair(NamedTuple):
    """A clean picture and what is to be done to it."""

    clean: np.ndarray
    """(S, S, 3) float32 in [0, 1]; S is the side asked for, divided by `scale`."""
    recipe: Recipe | None
    """None for nothing."""
    severity: float
    """For the steps that do not set their own."""
    scale: float
    """Factor by which both sides are resized before the file is written."""
    generator: np.random.Generator
    """The random numbers of the damage."""


class SyntheticDataset(Dataset[dict[str, Any]]):
    """Degraded and clean crops; each item is a pure function of (seed, epoch, index).

    `dataset[(epoch, index)]` gives "lq" and "gt", both (3, P, P) float32 in [0, 1] with lq rounded to 8 bits as a
    stored picture is; "degradations", (N,) float32 in [0, 1], how far each of `list_degradations()` is there;
    "name", the file name of the clean picture; and if asked for "severities", (N,) float32 in [0, 1].
    """

    def __init__(
        self, config: SyntheticDataConfig, *, patch_size: int, seed: int, tells_severities: bool = False
    ) -> None:
        """List the pictures and parse the recipes.

        Args:
            config: Folders and mixture.
            patch_size: Side P of the crops in pixels.
            seed: Start of all random numbers.
            tells_severities: Whether items say how strong each degradation is.

        Raises:
            ConfigError: a folder is missing or empty.
            DatasetError: by its header a file is no picture.
            InputError: a recipe cannot be parsed.
        """
        self.config, self.patch_size, self.seed = config, patch_size, seed
        self.tells_severities = tells_severities
        self.paths = spread(list_pictures(config.folders), config.max_pictures)
        check_pictures(self.paths)
        self._recipes = [parse_recipe(share.recipe) for share in config.mixture]
        others = (config.random_mixture, config.random_chain, config.intact)
        weights = [*(share.weight for share in config.mixture), config.clean_weight]
        weights += [other.weight if other is not None else 0.0 for other in others]
        self._shares = np.cumsum(weights) / np.sum(weights)
        self._pictures = [read_rgb(path) for path in self.paths] if config.in_memory else None

    def __len__(self) -> int:
        """Number of clean pictures."""
        return len(self.paths)

    def source_path(self, index: int) -> Path:
        """The file that an item is cut from: the clean picture."""
        return self.paths[index]

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One pair; see the class."""
        drawn = self.draw(key)
        lq, gt = degraded_pair(drawn, side=self.side)
        inner = slice(MARGIN, -MARGIN)
        item = {
            "lq": to_tensor(lq[inner, inner]),
            "gt": to_tensor(gt[inner, inner]),
            "degradations": torch.from_numpy(labels_of(drawn.recipe, severity=drawn.severity)),
            "name": self.paths[index_of(key)].name,
        }
        if self.tells_severities:
            item["severities"] = torch.from_numpy(severities_of(drawn.recipe, severity=drawn.severity))
        return item

    @property
    def side(self) -> int:
        """Side in pixels of what is degraded, the margins included."""
        return self.patch_size + 2 * MARGIN

    def draw(self, key: Key) -> DrawnPair:
        """The clean picture of an item, and what is to be done to it."""
        generator = item_generator(self.seed, key)
        scale = self._resample_scale(generator)
        clean = self._clean_crop(index_of(key), side=round(self.side / scale), generator=generator)  # (S, S, 3) uint8
        recipe, severity, is_intact = self._draw_recipe(generator)
        clean = self._retoned(clean, recipe, is_intact=is_intact, generator=generator)
        return DrawnPair(clean.astype(np.float32) / 255.0, recipe, severity, scale, generator)

    def _draw_recipe(self, generator: np.random.Generator) -> tuple[Recipe | None, float, bool]:
        """What is done to one picture, None for nothing; how strongly; and whether it is an intact one, undamaged."""
        drawn = int(np.searchsorted(self._shares, generator.random(), side="right"))
        if drawn < len(self._recipes):
            return self._recipes[drawn], float(generator.uniform(*self.config.mixture[drawn].severity)), False
        kind = drawn - len(self._recipes)  # clean, random mixture, random chain, intact
        if kind == 1 and self.config.random_mixture is not None:
            return draw_mixture(self.config.random_mixture, generator), 0.0, False
        if kind == 2 and self.config.random_chain is not None:
            return draw_chain(self.config.random_chain, generator), 0.0, False
        return None, 0.0, kind == 3

    def _retoned(
        self, clean: np.ndarray, recipe: Recipe | None, *, is_intact: bool, generator: np.random.Generator
    ) -> np.ndarray:
        """The clean picture darkened, or an intact one made of it, as the config says: (S, S, 3) uint8."""
        names = {counted_name(step.name) for step in recipe.steps} if recipe is not None else set()
        intact, darkening = self.config.intact, self.config.darkening
        if intact is not None:
            share = intact.under_damage if names and "low_light" not in names else 0.0
            if is_intact or (share > 0 and generator.random() < share):
                return draw_intact(clean, intact.shares, generator)
        if darkening is None or not darkening.applies_to(names):
            return clean
        return darkening.toned(clean, generator)

    def _resample_scale(self, generator: np.random.Generator) -> float:
        """Factor by which a pair is resized after the damage; 1 for not at all."""
        resample = self.config.resample
        if resample is None or generator.random() >= resample.probability:
            return 1.0
        return float(generator.uniform(*resample.scale))

    def _clean_crop(self, index: int, *, side: int, generator: np.random.Generator) -> np.ndarray:
        """A random square of a picture, shrunk, flipped and turned: (side, side, 3) uint8."""
        picture = self._pictures[index] if self._pictures is not None else read_rgb(self.paths[index])
        picture = enlarged_to_fit(picture, side)
        scale = generator.uniform(self.config.min_scale, 1.0)
        scale = max(scale, side / min(picture.shape[:2]))
        source_side = min(round(side / scale), *picture.shape[:2])
        rows, columns = random_window(*picture.shape[:2], side=source_side, generator=generator)
        crop = picture[rows, columns]
        if source_side != side:
            crop = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        crop = turned(crop, int(generator.integers(8)))
        if self.config.swap_channels > 0 and generator.random() < self.config.swap_channels:
            crop = np.ascontiguousarray(crop[..., generator.permutation(3)])
        return crop


def spread(paths: list[Path], max_pictures: int | None) -> list[Path]:
    """At most so many of the paths, at equal distances; all of them for None."""
    if max_pictures is None or len(paths) <= max_pictures:
        return paths
    return [paths[index * len(paths) // max_pictures] for index in range(max_pictures)]


def draw_mixture(config: RandomMixtureConfig, generator: np.random.Generator) -> Recipe:
    """Two or more degradations of different kinds, each with a severity of its own, in physical order."""
    count = int(generator.integers(2, config.max_steps + 1))
    names: list[str] = []
    for name in generator.permutation(config.names):
        taken = [step_record(other).order for other in names]
        if len(names) < count and step_record(str(name)).order not in taken:
            names.append(str(name))
    severities = generator.uniform(*config.severity, size=len(names))
    steps = [
        Step(name, (("severity", float(severity)),))
        for name, severity in zip(in_physical_order(names), severities, strict=True)
    ]
    return Recipe(tuple(steps))


def labels_of(recipe: Recipe | None, *, severity: float) -> np.ndarray:
    """How far each degradation of `list_degradations()` is there.

    Args:
        recipe: What was done; None for nothing.
        severity: In [0, 1], for the steps that do not set their own.

    Returns:
        (N,) float32 in [0, 1]; a step with physical parameters counts as wholly there.
    """
    return np.minimum(severities_of(recipe, severity=severity) / np.float32(FULL_LABEL_SEVERITY), np.float32(1.0))


def severities_of(recipe: Recipe | None, *, severity: float) -> np.ndarray:
    """How strong each degradation of `list_degradations()` is.

    Args:
        recipe: What was done; None for nothing.
        severity: In [0, 1], for the steps that do not set their own.

    Returns:
        (N,) float32 in [0, 1], 0 for what is not there; a step with physical parameters counts as 1.
    """
    names = list_degradations()
    severities = np.zeros(len(names), np.float32)
    for step in recipe.steps if recipe is not None else ():
        fixed = dict(step.parameters)
        is_physical = bool(fixed.keys() - {"severity"})
        own_severity = 1.0 if is_physical else float(fixed.get("severity", severity))
        index = names.index(counted_name(step.name))
        severities[index] = max(severities[index], own_severity)
    return severities


def degraded_pair(
    drawn: DrawnPair, *, side: int, strengths: Mapping[str, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Degrade a drawn picture, and make what a restorer shall give of it.

    Args:
        drawn: What `SyntheticDataset.draw` gave; its random numbers are used up.
        side: Height and width of the result in pixels.
        strengths: How far each degradation shall be taken away, by the name of the step, in [0, 1]: of 0 all stays in
            gt, with the same random numbers; what is not named goes wholly.

    Returns:
        lq, rounded to 8 bits as a stored picture is, and gt: (side, side, 3) float32 in [0, 1] each.
    """
    strengths = strengths or {}
    steps = drawn.recipe.steps if drawn.recipe is not None else ()
    is_resized = drawn.scale == 1
    lq = gt = drawn.clean
    for step, child in zip(steps, drawn.generator.spawn(len(steps)), strict=True):
        if not is_resized and step_record(step.name).order >= FILE:
            lq, gt, is_resized = _resized(lq, side), _resized(gt, side), True
        strength = strengths.get(step.name, 1.0)
        left = gt if strength == 1 else _step_applied(gt, step, severity=drawn.severity, generator=deepcopy(child))
        lq = _step_applied(lq, step, severity=drawn.severity, generator=child)
        gt = left + (gt - left) * np.float32(strength)
    if not is_resized:
        lq, gt = _resized(lq, side), _resized(gt, side)
    return np.rint(lq * 255.0) / 255.0, gt


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    """A square picture at another size, each pixel the mean of those that it covers."""
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def _step_applied(image: np.ndarray, step: Step, *, severity: float, generator: np.random.Generator) -> np.ndarray:
    """A picture after one step."""
    return apply_recipe(image, Recipe((step,)), severity=severity, generator=generator)
