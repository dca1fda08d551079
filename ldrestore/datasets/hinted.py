"""Pairs with hints: a part of a degraded picture, the whole of it reduced, and what a user might say of the damage."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from ldrestore.datasets.pictures import index_of, to_tensor
from ldrestore.datasets.seeds import Key
from ldrestore.datasets.synthetic import (
    MARGIN,
    DrawnPair,
    SyntheticDataConfig,
    SyntheticDataset,
    degraded_pair,
    labels_of,
)
from ldrestore.degradations.catalog import counted_name
from ldrestore.degradations.recipes import Step, list_degradations
from ldrestore.errors import ConfigError
from ldrestore.structures import DARKNESS, HAZE

_RULED_OUT = 0.8
"""Where much is named: share of what is not there that is named with strength 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HintConfig:
    """How often a picture comes with hints, and which."""

    probability: float = 0.45
    """Share of the pictures with hints, in [0, 1]."""
    present: float = 0.8
    """In those: probability that a degradation which is there is named."""
    absent: float = 0.08
    """In those: probability that one which is not there is named."""
    talkative: float = 0.0
    """Share of those in which much is named, as by who moves every bar: each that is not there with a probability drawn
    evenly for the picture, and then mostly with strength 0."""
    strengths: tuple[float, float] = (0.7, 0.2)
    """Shares of hints of strength 1 and of strength 0; the others lie between."""
    sure_darkness: float = 0.2
    """A dark picture is brightened without a hint only if 99 % of its pixels lie below this, in [0, 1]; above, darkness
    is always named, and a picture meant to be as dark is always named as not too dark."""
    sure_light: float = 0.0
    """Haze is cleared without a hint only if a hundredth of the pixels lies above this, in [0, 1], since air has light
    in it; below, it is always named."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        shares = [self.probability, self.present, self.absent, self.talkative, *self.strengths, sum(self.strengths)]
        shares += [self.sure_darkness, self.sure_light]
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigError(f"hints: expected shares in [0, 1], strengths of sum at most 1, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HintedDataConfig:
    """Whole pictures degraded by a mixture, of which a network restores a part, and hints."""

    pictures: SyntheticDataConfig
    """The whole pictures and their damage."""
    whole_size: int = 256
    """Side of a whole picture in pixels."""
    reduced_size: int = 128
    """Side of the reduced copy that a network looks at."""
    hints: HintConfig = field(default_factory=HintConfig)
    """How often a picture comes with hints, and which."""
    removed: tuple[str, ...] | None = None
    """Degradations that gt is without, for a network that takes away these alone and leaves the others as they are;
    null for all."""

    def __post_init__(self) -> None:
        """Check the sizes and the names."""
        unknown = sorted(set(self.removed or ()) - set(list_degradations()))
        if unknown:
            raise ConfigError(f"removed: unknown names {unknown}; known are {list_degradations()}")
        if not 8 <= self.reduced_size <= self.whole_size:
            raise ConfigError(
                f"expected 8 <= reduced_size <= whole_size, got {self.reduced_size} and {self.whole_size}"
            )


class HintedDataset(Dataset[dict[str, Any]]):
    """Parts of degraded pictures; each item is a pure function of (seed, epoch, index).

    Beside "lq", "gt" (3, P, P), "degradations" and "name" of `SyntheticDataset` an item has "whole", (3, R, R), the
    reduced copy of the whole degraded picture; "window", (4,), where the part lies: top, left, bottom and right as
    shares of the whole; and "hints", (2N,), in the order of `list_degradations()`: whether each is named, then how
    strongly it is to be taken away. gt follows the hints: what is named with strength 0 stays in it.
    """

    def __init__(self, config: HintedDataConfig, *, patch_size: int, seed: int) -> None:
        """List the pictures.

        Args:
            config: Pictures, damage, hints.
            patch_size: Side P of the parts in pixels, even.
            seed: Start of all random numbers.

        Raises:
            ConfigError: a folder is missing or empty, or the parts are larger than the whole.
            InputError: a recipe cannot be parsed.
        """
        if patch_size > config.whole_size:
            raise ConfigError(f"patch_size must be at most whole_size, {config.whole_size}, got {patch_size}")
        self.config, self.patch_size = config, patch_size
        self.wholes = SyntheticDataset(config.pictures, patch_size=config.whole_size, seed=seed)

    def __len__(self) -> int:
        """Number of clean pictures."""
        return len(self.wholes)

    def source_path(self, index: int) -> Path:
        """The file that an item is cut from: the clean picture."""
        return self.wholes.source_path(index)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One item; see the class."""
        drawn = self.wholes.draw(key)
        choices = drawn.generator.spawn(1)[0]
        strengths = draw_strengths(drawn, self.config.hints, choices)
        by_step = {step.name: self._strength_of(counted_name(step.name), strengths) for step in _steps(drawn)}
        lq, gt = degraded_pair(drawn, side=self.wholes.side, strengths=by_step)
        inner = slice(MARGIN, -MARGIN)
        lq, gt = lq[inner, inner], gt[inner, inner]
        strengths = with_doubts_named(strengths, drawn, lq, self.config.hints)
        size, reduced = self.config.whole_size, self.config.reduced_size
        top, left = (2 * int(choices.integers((size - self.patch_size) // 2 + 1)) for _ in range(2))
        rows, columns = slice(top, top + self.patch_size), slice(left, left + self.patch_size)
        window = np.array([top, left, top + self.patch_size, left + self.patch_size], np.float32) / np.float32(size)
        return {
            "lq": to_tensor(lq[rows, columns]),
            "gt": to_tensor(gt[rows, columns]),
            "whole": to_tensor(cv2.resize(lq, (reduced, reduced), interpolation=cv2.INTER_AREA)),
            "window": torch.from_numpy(window),
            "hints": torch.from_numpy(hints_of(strengths)),
            "degradations": torch.from_numpy(labels_of(drawn.recipe, severity=drawn.severity)),
            "name": self.source_path(index_of(key)).name,
        }

    def _strength_of(self, name: str, strengths: dict[str, float]) -> float:
        """How strongly a degradation is taken out of gt."""
        removed = self.config.removed
        return strengths.get(name, 1.0) if removed is None or name in removed else 0.0


def draw_strengths(drawn: DrawnPair, config: HintConfig, generator: np.random.Generator) -> dict[str, float]:
    """What a user says of a picture: name of each degradation that is named to how strongly it is to be taken away.

    Args:
        drawn: The picture and its damage.
        config: How often, and which.
        generator: Of these choices alone.
    """
    if generator.random() >= config.probability:
        return {}
    present = {counted_name(step.name) for step in _steps(drawn)}
    is_talkative = config.talkative > 0 and generator.random() < config.talkative
    absent = max(config.absent, float(generator.uniform())) if is_talkative else config.absent
    strengths = {}
    for name in list_degradations():
        is_present = name in present
        if generator.random() < (config.present if is_present else absent):
            is_false_alarm = name == DARKNESS and not is_present  # would ask to brighten what is meant to be dark
            is_ruled_out = is_talkative and not is_present and generator.random() < _RULED_OUT
            strengths[name] = 0.0 if is_false_alarm or is_ruled_out else _strength(config, generator)
    return strengths


def with_doubts_named(
    strengths: dict[str, float], drawn: DrawnPair, lq: np.ndarray, config: HintConfig
) -> dict[str, float]:
    """The hints, with darkness and haze named where nobody can know whether they are meant.

    Args:
        strengths: Hints so far.
        drawn: The picture and its damage.
        lq: (H, W, 3), degraded, in [0, 1].
        config: How dark is surely too dark, and how bright haze is.
    """
    names = {counted_name(step.name) for step in _steps(drawn)}
    brightest = float(np.percentile(lq.max(axis=2), 99))
    doubts = {}
    if (DARKNESS in names) != (brightest < config.sure_darkness):
        doubts[DARKNESS] = 1.0 if DARKNESS in names else 0.0
    if HAZE in names and brightest < config.sure_light:
        doubts[HAZE] = 1.0
    return {**doubts, **strengths}


def hints_of(strengths: dict[str, float]) -> np.ndarray:
    """Hints as a network takes them: (2N,) float32, whether each degradation is named, then the strengths."""
    names = list_degradations()
    named = [float(name in strengths) for name in names]
    return np.array([*named, *(strengths.get(name, 0.0) for name in names)], np.float32)


def _strength(config: HintConfig, generator: np.random.Generator) -> float:
    """1, 0 or between."""
    wholly, not_at_all = config.strengths
    drawn = generator.random()
    if drawn < wholly:
        return 1.0
    return 0.0 if drawn < wholly + not_at_all else float(generator.uniform())


def _steps(drawn: DrawnPair) -> tuple[Step, ...]:
    """The steps of the damage, none where nothing is done."""
    return drawn.recipe.steps if drawn.recipe is not None else ()
