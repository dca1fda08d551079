"""Degradations as a user gives them, in place of the predictor's."""

from collections.abc import Sequence

from ldrestore.errors import InputError
from ldrestore.estimators.given_degradations import Degradations, given_estimate
from ldrestore.structures import DegradationEstimate


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
