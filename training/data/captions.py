"""Captions that say what is wrong with a picture, from which a small prior learns its words."""

from collections.abc import Sequence

from torch import Tensor

CLEAN_CAPTION = "a clean photo"
"""Of an intact picture."""

EMPTY_CAPTION = ""
"""Of a picture whose caption was left out; with it a prior learns what pictures look like without any word."""

STRENGTHS = ((0.3, "light"), (0.6, "moderate"), (1.01, "strong"))
"""Words for severities, each up to a bound."""


def strength_of(severity: float) -> str:
    """The word for a severity in [0, 1]."""
    return next(word for bound, word in STRENGTHS if severity < bound)


def caption_of(severities: Sequence[float], names: Sequence[str]) -> str:
    """A sentence such as "a photo with strong rain and light gaussian noise".

    Args:
        severities: (N,), in [0, 1]; 0 for what is not there.
        names: N names of degradations, said in this order.
    """
    phrases = [
        f"{strength_of(severity)} {name.replace('_', ' ')}"
        for severity, name in zip(severities, names, strict=True)
        if severity > 0
    ]
    return f"a photo with {' and '.join(phrases)}" if phrases else CLEAN_CAPTION


def captions_of(severities: Tensor, names: Sequence[str]) -> list[str]:
    """Captions of B pictures.

    Args:
        severities: (B, N), in [0, 1].
        names: N names of degradations.
    """
    return [caption_of(row, names) for row in severities.tolist()]


def caption_corpus(names: Sequence[str]) -> list[str]:
    """Every caption of no more than one degradation: all words that captions are made of."""
    single = [
        caption_of([severity if name == other else 0.0 for other in names], names)
        for name in names
        for severity in (0.1, 0.5, 0.9)
    ]
    return [CLEAN_CAPTION, *single, *(f"{first} and" for first in names[:1])]
