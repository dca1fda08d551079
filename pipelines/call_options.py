"""Options that the calls of all pipelines take: their defaults and ranges."""

from ldrestore.errors import InputError

DEFAULT_MEMORY_GB = 4.0
"""Memory budget in 10^9 bytes where the user names none; a constant, so that a plan does not depend on the machine."""

MAX_SCALE = 8
"""Largest factor of enlargement."""


def check_options(*, scale: int, fidelity: float) -> None:
    """Refuse options out of range.

    Raises:
        InputError: one is.
    """
    if not isinstance(scale, int) or not 1 <= scale <= MAX_SCALE:
        raise InputError(f"scale must be a whole number in [1, {MAX_SCALE}], got {scale}")
    if not 0 <= fidelity <= 1:
        raise InputError(f"fidelity must lie in [0, 1], got {fidelity}")
