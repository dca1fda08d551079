"""Tables that several studies share, from results whose figures are known."""

from dataclasses import replace

import pytest

from ldrestore.evaluation.results import ComparisonRow, Results
from ldrestore.evaluation.studies.study_tables import (
    joined,
    origin_of,
    squares_of,
    table_by_dataset,
    table_in_short,
    table_of_differences,
)
from ldrestore.evaluation.summaries import summarised
from tests.evaluation.tiny_results import LPIPS, PSNR, output, results_of

AVERAGES = {"both": ["rain", "haze"]}


@pytest.fixture
def results() -> Results:
    """Contestants a and b on two datasets; b is 2 dB better on rain, and has nothing on haze."""
    rows = [output("a", of, f"{index}.png", psnr=20.0, lpips=0.5) for of in ("rain", "haze") for index in range(8)]
    rows += [output("b", "rain", f"{index}.png", psnr=22.0, lpips=0.25) for index in range(8)]
    return summarised(results_of(*rows, sizes={"rain": 8, "haze": 8}, metrics=(PSNR, LPIPS), averages=AVERAGES))


def test_squares_are_datasets_of_one_set_in_the_order_of_their_recipes() -> None:
    one, two = squares_of({"dark": "low_light", "wet": "rain"}, source="builtin", crop=64)
    assert (one.name, one.set, one.recipe, one.crop) == ("dark", "builtin", "low_light", 64)
    assert (two.name, two.recipe) == ("wet", "rain")


def test_the_short_table_has_all_metrics_in_one_cell_and_dashes_for_what_is_not_there(results: Results) -> None:
    assert table_in_short(results, ["a", "b"]).splitlines() == [
        "| psnr ↑ / lpips ↓ | pictures | a | b |",
        "|---|---|---|---|",
        "| rain | 8 | 20.00 / 0.500 | 22.00 / 0.250 |",
        "| haze | 8 | 20.00 / 0.500 | – / – |",
        "| both |  | 20.00 / 0.500 | – / – |",
    ]


def test_the_short_table_shows_the_lines_that_are_named_in_their_order(results: Results) -> None:
    lines = table_in_short(results, ["b", "a"], datasets=["both", "rain"]).splitlines()[2:]
    assert lines == ["| both |  | – / – | 20.00 / 0.500 |", "| rain | 8 | 22.00 / 0.250 | 20.00 / 0.500 |"]
    assert table_in_short(replace(results, datasets=(), averages={}), ["a"]) == ""


def test_the_long_table_has_intervals_and_leaves_out_columns_and_lines_without_figures(results: Results) -> None:
    lines = table_by_dataset(results, ["b", "nobody"]).splitlines()
    assert lines[0] == "|  | pictures | b, psnr ↑ | b, lpips ↓ |"
    assert lines[2:] == ["| rain | 8 | 22.00 [22.00, 22.00] | 0.250 [0.250, 0.250] |"]
    assert table_by_dataset(results, ["nobody"]) == ""


def test_a_capped_mean_is_called_so() -> None:
    rows = [output("a", "rain", f"{index}.png", psnr=float("inf")) for index in range(3)]
    results = summarised(results_of(*rows, sizes={"rain": 3}))
    assert "60.00 (capped) [60.00, 60.00]" in table_by_dataset(results, ["a"])


def test_differences_are_bold_where_a_test_shows_them(results: Results) -> None:
    lines = table_of_differences(results, "psnr", [("b instead of a", "a", "b")]).splitlines()
    assert lines[0] == "|  | b instead of a |"
    assert lines[2:] == ["| rain | **+2.00** [+2.00, +2.00] |"]  # 8 scenes: p = 2 / 2^8, one dataset


def test_a_difference_asked_for_the_other_way_round_has_its_sign_and_its_ends_turned() -> None:
    values = (1.0, 3.0, 0.5, 2.0, 1.5, 4.0, 2.5, 1.0)
    rows = [output("a", "rain", f"{index}.png", psnr=20.0) for index in range(8)]
    rows += [output("b", "rain", f"{index}.png", psnr=20.0 + value) for index, value in enumerate(values)]
    results = summarised(results_of(*rows, sizes={"rain": 8}))
    (row,) = results.comparisons
    assert row.low is not None and row.high is not None and row.low > 0
    line = table_of_differences(results, "psnr", [("", "b", "a")]).splitlines()[-1]
    assert line == f"| rain | **{-row.difference:+.2f}** [{-row.high:+.2f}, {-row.low:+.2f}] |"


def test_a_tie_is_plain_and_a_comparison_that_nobody_made_is_a_dash() -> None:
    def compared(dataset: str, second: str, verdict: str) -> ComparisonRow:
        return ComparisonRow(
            dataset=dataset,
            metric="psnr",
            first="a",
            second=second,
            difference=0.5,
            low=None,
            high=None,
            p=0.5,
            p_holm=0.5,
            verdict=verdict,
            num_scenes=2,
            worst_picture="x",
            worst_difference=0.1,
        )

    results = results_of(output("a", "rain", "0.png", psnr=20.0), sizes={"rain": 1, "haze": 1, "snow": 1})
    rows = (compared("rain", "b", "tied"), compared("haze", "c", "second"))
    table = table_of_differences(replace(results, comparisons=rows), "psnr", [("b", "a", "b"), ("c", "a", "c")])
    assert table.splitlines()[2:] == ["| rain | +0.50 | – |", "| haze | – | **+0.50** |"]
    assert table_of_differences(results, "psnr", [("b", "a", "b")]) == ""


def test_a_study_says_where_it_was_measured_and_what_is_to_be_known(results: Results) -> None:
    environment = {"device": "cpu", "threads": 2, "packages": {"torch": "2.14", "diffusers": None}}
    text = origin_of(replace(results, environments={"k": environment}, notes=("a set is missing",)))
    assert text.startswith("A small suite. Protocol uint8: colour rgb")
    assert "- cpu, 2 threads; torch 2.14\n" in text + "\n" and "diffusers" not in text
    assert text.endswith("- a set is missing")


def test_a_page_has_no_empty_parts() -> None:
    assert joined("Title", {"One": "text", "Two": "", "Three": "more"}) == (
        "# Title\n\n## One\n\ntext\n\n## Three\n\nmore\n"
    )
