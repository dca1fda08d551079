"""How many pixels a picture has an inch, a centimetre or a metre, between the units of the file formats."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Unit = Literal["none", "inch", "centimetre", "metre"]
"""What the pixels are counted in; "none" makes the two numbers the shape of a pixel alone."""

_METRES: dict[Unit, Fraction] = {"inch": Fraction(254, 10_000), "centimetre": Fraction(1, 100), "metre": Fraction(1)}
_LARGEST = 2**31


@dataclass(frozen=True, slots=True)
class Resolution:
    """Pixels a unit of length."""

    x: Fraction
    """Along a row."""
    y: Fraction
    """Along a column."""
    unit: Unit

    def turned(self) -> "Resolution":
        """The same after a quarter turn."""
        return Resolution(self.y, self.x, self.unit)

    def per(self, unit: Unit) -> tuple[Fraction, Fraction]:
        """Both numbers in another unit; as they are where this one or the other is "none".

        PNG rounds to whole pixels a metre: whole pixels an inch that round to these are what was meant.
        """
        if "none" in (self.unit, unit) or self.unit == unit:
            return self.x, self.y
        factor = _METRES[unit] / _METRES[self.unit]
        values = (self.x * factor, self.y * factor)
        if self.unit == "metre":
            whole = tuple(Fraction(round(value)) for value in values)
            is_meant = all(
                abs(value / factor - stored) <= Fraction(1, 2)
                for value, stored in zip(whole, (self.x, self.y), strict=True)
            )
            return (whole[0], whole[1]) if is_meant else values
        return values


def resolution_of(x: object, y: object, unit: Unit) -> Resolution | None:
    """A resolution; None for what states none: numbers that are not positive, or square pixels without a unit.

    Args:
        x: A number or a pair (numerator, denominator).
        y: The same.
        unit: Theirs.
    """
    width, height = _fraction(x), _fraction(y)
    if width is None or height is None or (unit == "none" and width == height):
        return None
    return Resolution(width, height, unit)


def _fraction(value: object) -> Fraction | None:
    """A positive number of ordinary size, to six decimal places; None for anything else."""
    try:
        if isinstance(value, tuple):
            number = Fraction(int(value[0]), int(value[1]))
        else:
            number = Fraction(float(value))  # type: ignore[arg-type]  # what is no number raises
            number = number if math.isfinite(number) else Fraction(0)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, IndexError):
        return None
    number = number.limit_denominator(1_000_000)
    return number if 0 < number < _LARGEST else None


def rational_pair(value: Fraction) -> tuple[int, int]:
    """Numerator and denominator, each of 32 bits, of the nearest such number."""
    value = value.limit_denominator(1_000_000)
    while value.numerator >= 2**32 and value.denominator > 1:
        value = value.limit_denominator(max(1, value.denominator // 2))
    return min(value.numerator, 2**32 - 1), value.denominator
