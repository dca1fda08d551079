"""Tables of a benchmark: Markdown to read, CSV to compute with."""

import csv
import io
import math
from dataclasses import asdict, replace

from ldrestore.evaluation.results import CostRow
from ldrestore.evaluation.summaries import summarised
from ldrestore.evaluation.tables import (
    cost_table,
    csv_report,
    markdown,
    markdown_report,
    mean_cells,
    protocol_line,
    table_of_means,
    verdicts_of,
)
from ldrestore.metrics.protocols import PROTOCOLS
from tests.evaluation.tiny_results import LPIPS, PSNR, output, results_of


def summary(**scores):
    """Results of contestants that have the same score on twelve pictures."""
    rows = [
        output(name, "rain", f"{index}.png", psnr=value + index / 100, lpips=1 / value)
        for name, value in scores.items()
        for index in range(12)
    ]
    return summarised(results_of(*rows, metrics=(PSNR, LPIPS)))


def test_the_best_of_each_column_is_bold_whichever_way_is_better():
    results = summary(a=20, b=25)
    columns, lines = mean_cells(results, PSNR, best_mark="**")
    assert columns == ("psnr ↑", "rain") and lines == [("a", "20.05"), ("b", "**25.05**")]
    columns, lines = mean_cells(results, LPIPS, best_mark="**")
    assert columns == ("lpips ↓", "rain") and lines == [("a", "0.050"), ("b", "**0.040**")]


def test_a_mean_over_fewer_pictures_says_so_and_is_not_the_best():
    rows = [output("whole", of, f"{index}.png", psnr=20.0) for of in ("rain", "haze") for index in range(3)]
    rows += [output("lucky", of, "0.png", psnr=30.0) for of in ("rain", "haze")]
    results = results_of(*rows, sizes={"rain": 3, "haze": 3}, averages={"both": ["rain", "haze"]})
    _, lines = mean_cells(summarised(results), PSNR, best_mark="**")
    assert lines == [
        ("whole", "**20.00**", "**20.00**", "**20.00**"),
        ("lucky", "30.00 (1 of 3)", "30.00 (1 of 3)", "30.00 (2 of 6)"),
    ]
    alike = results_of(*rows[:2], *[replace(row, contestant="other") for row in rows[:2]], sizes={"rain": 3})
    assert mean_cells(summarised(alike), PSNR, best_mark="**")[1][0] == ("whole", "**20.00** (2 of 3)")


def test_intervals_stand_behind_the_means_where_they_are_asked_for():
    results = summary(a=20)
    assert "[" not in table_of_means(results, PSNR, has_intervals=False)
    (row,) = results.means[:1]
    assert f"**20.05** [{row.low:.2f}, {row.high:.2f}]" in table_of_means(results, PSNR)


def test_a_contestant_without_a_value_is_left_out_and_a_hole_is_a_dash():
    rows = [output("a", "rain", "0.png", psnr=20.0), output("b", "haze", "0.png", psnr=21.0)]
    rows.append(output("c", "rain", "0.png", failure="no memory"))
    results = summarised(results_of(*rows, sizes={"rain": 1, "haze": 1}))
    assert mean_cells(results, PSNR)[1] == [("a", "20.00", "–"), ("b", "–", "21.00")]


def test_a_mean_with_capped_pictures_has_a_star_and_a_sentence():
    rows = [output("a", "rain", "0.png", psnr=math.inf), output("a", "rain", "1.png", psnr=20.0)]
    results = summarised(results_of(*rows, sizes={"rain": 2}))
    assert mean_cells(results, PSNR)[1] == [("a", "40.00*")]
    assert "A picture counts at most 60 dB in the means marked with *." in markdown_report(results)


def test_verdicts_say_by_how_much_and_where():
    table = verdicts_of(summary(a=20, b=25), PSNR)
    assert table.splitlines()[2].startswith("| b against a | rain +5.00 [+5.00, +5.00] | – | – |")
    assert verdicts_of(summary(a=20), PSNR) == ""


def test_the_report_names_what_failed_once_a_reason():
    rows = [output("a", "rain", f"{index}.png", failure="no memory") for index in range(3)]
    rows += [output("a", "rain", "3.png", psnr=20.0)]
    results = replace(summarised(results_of(*rows)), notes=("a set is missing",))
    report = markdown_report(results)
    assert "## Failed\n\n- a, rain: 0.png and 2 more: no memory" in report
    assert "## To be known\n\n- a set is missing" in report
    assert report.startswith("# tiny\n\nA small suite.\n\nProtocol uint8: colour rgb, border 0")


def test_what_cannot_be_computed_has_no_table_but_a_reason():
    metric = replace(LPIPS, unavailable="install ldrestore[metrics]")
    results = replace(summary(a=20), metrics=(PSNR, metric))
    report = markdown_report(results)
    assert "## lpips" not in report and "- lpips: install ldrestore[metrics]" in report


def test_the_protocol_stands_in_one_line():
    line = protocol_line(summary(a=20))
    assert line.startswith("Protocol uint8:") and "mean of PSNRs" in line and "SSIM window gaussian 11," in line
    uniform = replace(summary(a=20), protocol=asdict(PROTOCOLS["promptir"]))
    assert "SSIM window uniform 7," in protocol_line(uniform)


def test_a_line_of_csv_is_a_score_or_a_failure():
    rows = [
        output("a", "rain", "0.png", seed=3, psnr=math.inf, lpips=0.1),
        output("a", "rain", "1.png", failure="x, y"),
    ]
    lines = list(csv.DictReader(io.StringIO(csv_report(results_of(*rows, metrics=(PSNR, LPIPS))))))
    assert [(line["picture"], line["metric"], line["value"]) for line in lines] == [
        ("0.png", "psnr", "inf"),
        ("0.png", "lpips", "0.1"),
        ("1.png", "", ""),
    ]
    assert lines[0]["seed"] == "3" and lines[2]["seed"] == "" and lines[2]["failure"] == "x, y"
    assert {line["protocol"] for line in lines} == {"uint8"}


def test_what_was_not_measured_of_the_cost_is_a_dash():
    cost = CostRow(
        contestant="a",
        seconds_per_megapixel=1.2345,
        megapixels=1.0,
        repeats=3,
        peak_gigabytes=None,
        parameters=2_500_000,
        gigamacs=None,
        device="CPU",
        threads=2,
    )
    assert cost_table([cost]).splitlines()[-1] == "| a | 1.23 | – | 2.50 | – | CPU, 2 threads |"


def test_a_cell_cannot_break_the_table():
    assert markdown(("a",), [("x|y",)]).splitlines()[-1] == "| x/y |"
