from fractions import Fraction

import pytest

from ldrestore.images.resolution import Resolution, resolution_of


def test_whole_pixels_an_inch_survive_pngs_pixels_a_metre():
    for dpi in range(1, 4801):
        inch = resolution_of(dpi, dpi, "inch")
        metre = resolution_of(*map(round, inch.per("metre")), "metre")
        assert metre.per("inch") == (dpi, dpi)


def test_units_are_converted_and_turned():
    resolution = resolution_of((30000, 100), 118.11, "inch")
    assert resolution.turned() == Resolution(resolution.y, Fraction(300), "inch")
    assert float(resolution.per("centimetre")[0]) == pytest.approx(300 / 2.54)
    assert resolution.per("none") == resolution.per("inch")


@pytest.mark.parametrize(
    ("x", "y", "unit"),
    [
        (0, 1, "inch"),
        (-1, 1, "inch"),
        ((1, 0), 1, "inch"),
        (float("nan"), 1, "inch"),
        (float("inf"), 1, "inch"),
        ("x", 1, "inch"),
        (1, 1, "none"),
        ((72,), 1, "inch"),
    ],
)
def test_what_states_no_resolution_is_none(x, y, unit):
    assert resolution_of(x, y, unit) is None


def test_the_shape_of_a_pixel_is_kept_without_a_unit():
    assert resolution_of(2, 1, "none") == Resolution(Fraction(2), Fraction(1), "none")
