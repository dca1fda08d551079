import xml.etree.ElementTree as ElementTree

import pytest

from ldrestore.evaluation.reliability import (
    calibration_error,
    reliability_diagram,
    reliability_of,
    table_of_reliability,
)
from tests.model_results import model_results

NAMES = "abcdefghij"
FIGURES = {"rain": {name: (20.0, 25.0) for name in NAMES}}


def estimated(rain, snow=0.05):
    return model_results(FIGURES, estimates={"rain": {name: {"rain": rain, "snow": snow} for name in NAMES}})


def test_each_name_of_each_picture_is_a_statement_that_is_right_or_not():
    unlikely, likely = reliability_of(estimated(rain=0.85), "default")
    assert (unlikely.count, unlikely.probability, unlikely.share) == (10, pytest.approx(0.05), 0)
    assert (likely.low, likely.high, likely.count, likely.share) == (0.8, 0.9, 10, 1)


def test_the_error_is_the_distance_of_share_and_probability():
    assert calibration_error(reliability_of(estimated(rain=0.85), "default")) == pytest.approx((0.15 + 0.05) / 2)
    assert calibration_error(reliability_of(estimated(rain=1.0, snow=0.0), "default")) == 0


def test_damage_without_a_name_is_left_out_and_a_model_that_tells_nothing_has_no_table():
    unknown = model_results(FIGURES, estimates={"rain": {name: {"snow": 0.5} for name in NAMES}})
    assert reliability_of(unknown, "default") == ()
    assert table_of_reliability(model_results(FIGURES), "default") == ""
    assert "| 0.8 to 0.9 | 10 | 0.850 | 1.000 |" in table_of_reliability(estimated(rain=0.85), "default")


def test_the_diagram_is_a_drawing_with_one_dot_a_bin():
    drawing = ElementTree.fromstring(
        reliability_diagram(reliability_of(estimated(rain=0.85), "default"), title="default")
    )
    dots = drawing.findall(".//{http://www.w3.org/2000/svg}circle")
    assert [dot.get("cy") for dot in dots] == ["346.0", "46.0"]
