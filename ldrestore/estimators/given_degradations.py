"""Degradations that a user names: in place of a prediction, "rain=0.7,gaussian_noise=0.3", or beside it, "haze=0"."""

import math
from collections.abc import Mapping, Sequence

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.structures import DegradationEstimate

Degradations = str | Mapping[str, float]
"""As a user gives them: weights by name, or text such as "rain=0.7,gaussian_noise=0.3"."""

SUM_TOLERANCE = 1e-3
"""By which given weights may miss 1."""


def given_estimate(degradations: str | Mapping[str, float], names: Sequence[str]) -> DegradationEstimate:
    """The probabilities P that a user gives.

    Args:
        degradations: Weights by name, which sum to 1; as text "rain=0.7,gaussian_noise=0.3", or "rain" alone.
        names: The N degradations that the model knows.

    Returns:
        A value for each of `names`; 0 for those that were not given, the others scaled to sum to 1 exactly.

    Raises:
        UnknownNameError: the model does not know one; the closest ones are named.
        InputError: a weight is no number in [0, 1], a name occurs twice, or the weights do not sum to 1 within 1e-3.
    """
    weights = _parse(degradations) if isinstance(degradations, str) else dict(degradations)
    for name in weights:
        if name not in names:
            raise UnknownNameError("degradation", name, names)
    is_valid = all(
        isinstance(weight, int | float) and not isinstance(weight, bool) and 0 <= weight <= 1
        for weight in weights.values()
    )
    total = math.fsum(weights.values()) if is_valid else math.nan
    if not abs(total - 1) <= SUM_TOLERANCE:
        raise InputError(
            f"weights of degradations must lie in [0, 1] and sum to 1, got {weights}; "
            'write for example "rain=0.7,gaussian_noise=0.3"'
        )
    return DegradationEstimate(tuple(names), tuple(weights.get(name, 0.0) / total for name in names))


def given_strengths(degradations: str | Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """How strongly a user wants each named degradation taken away; what is not named is left to the model.

    Args:
        degradations: Strengths by name, which need not sum to anything; as text "haze=0,rain", a name alone
            having 1.
        names: The degradations that the model can be told of.

    Returns:
        A strength in [0, 1] for each name given: 0 leaves it as it is, 1 takes it away.

    Raises:
        UnknownNameError: the model does not know one; the closest ones are named.
        InputError: a strength is no number in [0, 1], or a name occurs twice.
    """
    strengths = _parse(degradations) if isinstance(degradations, str) else dict(degradations)
    for name, strength in strengths.items():
        if name not in names:
            raise UnknownNameError("degradation", name, names)
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
            raise InputError(
                f"the strength of {name} must lie in [0, 1], got {strength!r}; "
                f"write {name} to take it away, {name}=0 to leave it"
            )
    return {name: float(strength) for name, strength in strengths.items()}


def read_degradations(
    given: Degradations | Sequence[Degradations | None] | None, *, names: Sequence[str], num_pictures: int
) -> list[DegradationEstimate | None]:
    """P of each picture, as far as it is given.

    Args:
        given: For all pictures, or a list with one or None for each.
        names: The degradations that the model knows.
        num_pictures: How many there are.

    Raises:
        UnknownNameError: the model does not know one; the closest ones are named.
        InputError: weights that do not sum to 1 within 1e-3, or another number than pictures.
    """
    listed = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given] * num_pictures
    if len(listed) != num_pictures:
        raise InputError(
            f"expected one or None for each of the {num_pictures} pictures, got {len(listed)} degradations"
        )
    return [None if one is None else given_estimate(one, names) for one in listed]


def _parse(text: str) -> dict[str, float]:
    """Weights by name; a name without a weight has 1.

    Raises:
        InputError: a weight is no number, or a name occurs twice.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, separator, weight = (piece.strip() for piece in part.partition("="))
        if name in weights:
            raise InputError(f"degradation {name} is given twice in {text!r}; give it once")
        try:
            weights[name] = float(weight) if separator else 1.0
        except ValueError:
            raise InputError(f"the weight of {name} is no number: {weight!r}; write {name}=0.5 for one half") from None
    return weights
