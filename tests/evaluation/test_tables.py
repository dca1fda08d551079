"""Tables of a benchmark: Markdown to read, CSV to compute with."""

import csv
import io
import math
from dataclasses import asdict, replace

from ldrestore.evaluation.published_tables import find_published
from ldrestore.evaluation.results import PLAIN_BOOTSTRAP, CostRow, SetScoreRow
from ldrestore.evaluation.summaries import summarised
from ldrestore.evaluation.tables import (
    cost_table,
    csv_report,
    failure_lines,
    markdown,
    markdown_report,
    mean_cells,
    protocol_line,
    statistics_note,
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


def test_heads_and_line_ends_cannot_break_the_table_either() -> None:
    text = markdown(("", "a|b", "c\nd"), [("x\r\ny", "1", "2")])
    assert text.splitlines() == ["|  | a/b | c d |", "|---|---|---|", "| x y | 1 | 2 |"]


def test_an_average_whose_dataset_is_missing_costs_no_table() -> None:
    results = results_of(output("a", "rain", "0.png", psnr=20.0), averages={"both": ["rain", "haze"]})
    assert mean_cells(summarised(results), PSNR) == (("psnr ↑", "rain"), [("a", "20.00 (1 of 12)")])


def test_equal_means_are_both_the_best() -> None:
    assert mean_cells(summary(a=20, b=20), PSNR, best_mark="**")[1] == [("a", "**20.05**"), ("b", "**20.05**")]


def test_the_spread_over_seeds_stands_behind_the_mean() -> None:
    rows = [output("a", "rain", "0.png", seed=seed, psnr=value) for seed, value in enumerate((20.0, 22.0))]
    assert mean_cells(summarised(results_of(*rows, sizes={"rain": 1})), PSNR)[1] == [("a", "21.00 ± 1.41")]


def test_columns_are_the_datasets_in_their_order_and_then_the_averages() -> None:
    rows = [output("a", of, "0.png", psnr=20.0) for of in ("snow", "rain")]
    results = summarised(results_of(*rows, sizes={"snow": 1, "rain": 1}, averages={"all": ["rain", "snow"]}))
    assert mean_cells(results, PSNR)[0] == ("psnr ↑", "snow", "rain", "all")


def test_printed_tables_stand_under_their_paper_and_protocol_behind_the_measured_ones() -> None:
    name = "unildiff/table_7"
    report = markdown_report(replace(summary(a=20), published=(name,)))
    printed = find_published(name)
    assert report.index("## psnr") < report.index(f"## As printed: {printed.paper}, Table 7")
    assert '<span style="color:grey">' in report and f"Protocol as printed: {printed.protocol}." in report
    assert "29.35" in report  # the average as it is printed, though its row gives another


def test_costs_have_a_part_where_they_were_measured() -> None:
    assert "## Cost" not in markdown_report(summary(a=20))
    cost = CostRow(
        contestant="a",
        seconds_per_megapixel=12.345,
        megapixels=0.26,
        repeats=3,
        peak_gigabytes=0.456,
        parameters=17_112_000,
        gigamacs=63.64,
        device="cpu",
        threads=2,
    )
    report = markdown_report(replace(summary(a=20), costs=(cost,)))
    assert "## Cost" in report and "| a | 12.3 | 0.46 | 17.11 | 63.6 | cpu, 2 threads |" in report


def test_scores_of_whole_sets_are_lines_of_csv_without_a_picture() -> None:
    scores = SetScoreRow(contestant="a", dataset="rain", scores={"fid": 12.5}, num_pictures=3)
    text = csv_report(results_of(output("a", "rain", "0.png", psnr=20.0), set_scores=(scores,)))
    assert text.splitlines()[-1] == "a,rain,,,fid,12.5,uint8,,"


def test_values_of_csv_are_read_back_to_the_digit() -> None:
    value = 27.123456789012345
    rows = csv.DictReader(io.StringIO(csv_report(results_of(output("a", "rain", "0.png", psnr=value)))))
    assert [float(row["value"]) for row in rows] == [value]


def test_names_with_commas_quotes_and_line_ends_are_one_cell_of_csv() -> None:
    hostile = 'a,"b"\nc'
    rows = list(csv.DictReader(io.StringIO(csv_report(results_of(output(hostile, "rain", hostile, psnr=1.0))))))
    assert [(row["contestant"], row["picture"]) for row in rows] == [(hostile, hostile)]


def test_figures_of_a_plain_bootstrap_are_called_too_sure() -> None:
    assert statistics_note(summary(a=20)) == ""
    note = statistics_note(replace(summary(a=20), statistics=PLAIN_BOOTSTRAP))
    assert note.startswith(" ") and "too sure where scenes are few" in note


def test_failures_of_one_reason_are_counted_and_others_stay_apart() -> None:
    rows = [output("a", "rain", f"{index}.png", failure="no memory") for index in range(2)]
    rows += [output("a", "rain", "2.png", failure="broken"), output("b", "rain", "0.png", failure="no memory")]
    assert failure_lines(results_of(*rows)) == [
        "a, rain: 0.png and 1 more: no memory",
        "a, rain: 2.png: broken",
        "b, rain: 0.png: no memory",
    ]
