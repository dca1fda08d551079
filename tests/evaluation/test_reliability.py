import xml.etree.ElementTree as ElementTree

import numpy as np
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


def brute_force_error(statements: list[tuple[float, bool]]) -> float:
    """Guo et al. 2017, Eq. 3, from the statements themselves."""
    places = np.minimum(np.floor(np.array([probability for probability, _ in statements]) * 10), 9)
    total = 0.0
    for place in range(10):
        chosen = [statement for statement, found in zip(statements, places, strict=True) if found == place]
        if chosen:
            given, right = (np.mean([statement[part] for statement in chosen]) for part in (0, 1))
            total += len(chosen) / len(statements) * abs(given - right)
    return total


def test_bins_and_error_are_those_of_all_statements_one_by_one() -> None:
    generator = np.random.default_rng(0)
    figures = {task: {f"{index}": (20.0, 25.0) for index in range(30)} for task in ("rain", "snow")}
    seen_by = {
        task: {name: {"rain": float(generator.uniform()), "snow": float(generator.uniform())} for name in rows}
        for task, rows in figures.items()
    }
    bins = reliability_of(model_results(figures, estimates=seen_by), "default")
    statements = [
        (probability, name == task)
        for task, rows in seen_by.items()
        for estimate in rows.values()
        for name, probability in estimate.items()
    ]
    assert sum(part.count for part in bins) == len(statements) == 120
    assert calibration_error(bins) == pytest.approx(brute_force_error(statements))
    for part in bins:
        assert part.low <= part.probability <= part.high and 0 <= part.share <= 1
    assert [part.low for part in bins] == sorted(part.low for part in bins)


def test_a_certainty_lies_in_the_last_bin_and_an_edge_in_the_upper_one() -> None:
    lower, upper = reliability_of(estimated(rain=1.0, snow=0.5), "default")
    assert (lower.low, lower.high) == (0.5, 0.6) and (upper.low, upper.high) == (0.9, 1.0)


def test_a_mixture_has_all_its_names_and_counts_where_the_model_knows_them_all() -> None:
    figures = {"rain+haze(strength=0.4)": {"a": (20.0, 25.0)}}
    known = {"rain": 0.9, "haze": 0.9, "snow": 0.1}
    bins = reliability_of(model_results(figures, estimates={next(iter(figures)): {"a": known}}), "default")
    assert [(part.count, part.share) for part in bins] == [(1, 0.0), (2, 1.0)]
    half = {"rain": 0.9, "snow": 0.1}
    assert reliability_of(model_results(figures, estimates={next(iter(figures)): {"a": half}}), "default") == ()


def test_a_model_that_believes_everything_half_is_right_where_half_is_there() -> None:
    figures = {task: {name: (20.0, 25.0) for name in NAMES} for task in ("rain", "snow")}
    halves = {task: {name: {"rain": 0.5, "snow": 0.5} for name in NAMES} for task in figures}
    bins = reliability_of(model_results(figures, estimates=halves), "default")
    assert [(part.count, part.share) for part in bins] == [(40, 0.5)] and calibration_error(bins) == 0


def test_a_hostile_title_stays_text_in_the_drawing() -> None:
    title = '"><script>harm()</script>'
    drawing = reliability_diagram(reliability_of(estimated(rain=0.85), "default"), title=title)
    root = ElementTree.fromstring(drawing)
    assert root.get("aria-label") == title and "<script" not in drawing
    texts = [each.text for each in root.findall("{http://www.w3.org/2000/svg}text")]
    assert title in texts
