"""Validation of what refines a decoder: the same latents decoded with it and without."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.training.losses.validation import ValidationConfig, ValidationPair, create_pairs, validate_pairs

Decode = Callable[[Tensor, ValidationPair, bool], Tensor]
"""Padded picture (1, 3, H, W) in [0, 1], the pair that it is from, and whether it is refined, to the result."""


class RefinedValidation:
    """Pictures, the latents of each, and the figures without a refiner, none of which training changes."""

    def __init__(self, config: ValidationConfig | None, *, factor: int, plain: str) -> None:
        """Read the pictures.

        Args:
            config: Which ones; None for none.
            factor: The decoder's, of which padded sides are multiples.
            plain: What the figures without the refiner are called.

        Raises:
            ConfigError: a folder is missing or empty, or a picture has no partner.
            DatasetError: a picture cannot be read or degraded.
        """
        self.pairs = create_pairs(config)
        self.factor, self.plain = factor, plain
        self._numbers = {id(pair): number for number, pair in enumerate(self.pairs)}
        self._latents: dict[int, Tensor] = {}
        self._figures: dict[str, float] | None = None

    def measure(self, decode: Decode, *, device: torch.device) -> dict[str, float]:
        """PSNR by recipe, refined and, as "<plain>/...", not; the latter is computed once.

        Args:
            decode: See `Decode`.
            device: Where pictures are restored.
        """

        def restore(lq: Tensor, pair: ValidationPair, *, is_refined: bool) -> Tensor:
            restored = decode(pad_to_multiple(lq, self.factor), pair, is_refined)
            return crop_to(restored, *lq.shape[-2:])

        if self._figures is None:
            self._figures = validate_pairs(partial(restore, is_refined=False), self.pairs, device=device)
        refined = validate_pairs(partial(restore, is_refined=True), self.pairs, device=device)
        return refined | {f"{self.plain}/{name}": value for name, value in self._figures.items()}

    def latents(self, pair: ValidationPair, sample: Callable[[int], Tensor]) -> Tensor:
        """The latents of a picture, sampled once.

        Args:
            pair: One of `pairs`.
            sample: Number of the picture, of which its noise follows, to latents.
        """
        number = self._numbers[id(pair)]
        if number not in self._latents:
            self._latents[number] = sample(number)
        return self._latents[number]
