from fractions import Fraction

import pytest
from check_published_tables import page
from syntax_trees import ROOT

from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.evaluation.published_tables import (
    FOLDER,
    PublishedTable,
    find_published,
    inconsistencies,
    list_published,
    markdown_of,
)
from ldrestore.evaluation.suites import list_suites, load_suite


def second_entries():
    """Table and method to the figures of the second entry."""
    lines = (FOLDER / "second_entry.txt").read_text(encoding="utf-8").splitlines()
    return {(table, method): words.split() for table, method, words in (line.split("\t") for line in lines)}


def test_both_entries_of_every_row_agree():
    first = {
        (name, method): [value for value in values if value is not None]
        for name in list_published()
        for method, values in find_published(name).rows.items()
    }
    second = {key: [float(word) for word in words] for key, words in second_entries().items()}
    assert first == second


def test_the_papers_tables_are_there():
    names = list_published()
    assert [name for name in names if name.startswith("mperceiver/")] == [
        *(f"mperceiver/table_1{letter}" for letter in "abcdefghi"),
        "mperceiver/table_2",
        *(f"mperceiver/table_3{letter}" for letter in "abcd"),
        *(f"mperceiver/table_{number}" for number in (4, 5, 6, 7, 8, 9)),
    ]
    assert [name for name in names if name.startswith("unildiff/")] == [f"unildiff/table_{k}" for k in range(1, 9)]
    assert "(source: secondary)" in find_published("datprl_ir/summary").source
    assert "secondary" not in find_published("mmfe_ir/table_1").source


def test_suites_name_tables_that_exist():
    for suite in map(load_suite, list_suites()):
        for name in suite.published:
            assert find_published(name).label


def test_a_printed_average_that_its_row_does_not_give_is_found():
    found = {(each.method, each.column): each for each in inconsistencies("unildiff/table_7")}
    ours = found["UniLDiff", "average PSNR"]
    assert (ours.printed, round(ours.recomputed, 2)) == (29.35, 29.27)
    assert "printed 29.35" in str(ours)
    assert not inconsistencies("mperceiver/table_2")


def test_the_page_is_what_the_tables_give():
    assert (ROOT / "docs" / "published_tables.md").read_text(encoding="utf-8") == page()


def test_unknown_tables_and_rows_of_another_length_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'mmfe_ir/table_1'"):
        find_published("mmfe_ir/table_11")
    facts = {"label": "T", "caption": "", "protocol": "", "columns": ("a", "b")}
    with pytest.raises(ConfigError, match="1 figures for 2 columns"):
        PublishedTable(**facts, rows={"x": [1.0]})
    with pytest.raises(ConfigError, match="which is no column"):
        PublishedTable(**facts, rows={"x": [1.0, 2.0]}, averages={"a": ["c"]})


def test_figures_stand_as_printed():
    assert "| AirNet | 17.51 | 0.613 |" in markdown_of(find_published("mperceiver/table_2"))
    assert "| – |" in markdown_of(find_published("mmfe_ir/table_1"))


def exact_faults(table: PublishedTable) -> set[tuple[str, str]]:
    """Averages that no true values within the rounding of the row can give, by exact fractions.

    Figures have two digits, and three below one, or as many as are printed.
    """
    found = set()
    for column, parts in table.averages.items():
        for method, values in table.rows.items():
            row = dict(zip(table.columns, values, strict=True))
            figures = [row[part] for part in (column, *parts)]
            if None in figures:
                continue
            digits = [max(len(str(figure).partition(".")[2]), 2 if figure >= 1 else 3) for figure in figures]
            exact = [Fraction(str(figure)) for figure in figures]
            halves = [Fraction(1, 2 * 10**count) for count in digits]
            low = sum((value - half for value, half in zip(exact[1:], halves[1:], strict=True)), Fraction(0)) / len(
                parts
            )
            high = sum((value + half for value, half in zip(exact[1:], halves[1:], strict=True)), Fraction(0)) / len(
                parts
            )
            if high < exact[0] - halves[0] or low > exact[0] + halves[0]:
                found.add((method, column))
    return found


@pytest.mark.parametrize("name", list_published())
def test_printed_averages_that_no_rounding_explains_are_those_of_exact_fractions(name: str) -> None:
    found = {(each.method, each.column) for each in inconsistencies(name)}
    assert found == exact_faults(find_published(name))


@pytest.mark.parametrize("name", list_published())
def test_every_table_says_paper_label_protocol_and_source(name: str) -> None:
    table = find_published(name)
    assert table.paper and table.label and table.caption and table.protocol and table.source
    assert len(set(table.columns)) == len(table.columns) and table.rows


def test_figures_lie_where_their_metric_can_lie_but_for_the_slips_that_are_named() -> None:
    ranges = {"PSNR": (5.0, 60.0), "SSIM": (0.0, 1.0)}
    outside = [
        (name, method, column, value)
        for name in list_published()
        for method, values in find_published(name).rows.items()
        for column, value in zip(find_published(name).columns, values, strict=True)
        for metric, (low, high) in ranges.items()
        if metric in column and isinstance(value, int | float) and not low < value <= high
    ]
    assert outside == [("seminar/moce_ir_3d", "LPNet", "SOTS SSIM", 828)]
    assert "LPNet's SSIM on SOTS is printed as 828" in find_published("seminar/moce_ir_3d").protocol


def test_a_table_as_markdown_has_a_cell_for_every_figure() -> None:
    for name in list_published():
        table = find_published(name)
        head, _, *lines = markdown_of(table).splitlines()
        assert head.count("|") == len(table.columns) + 2 and len(lines) == len(table.rows)
        assert all(line.count(" | ") == len(table.columns) for line in lines)


def test_rounding_is_no_inconsistency_and_a_digit_beyond_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def faults_of(average: float) -> list[str]:
        facts = {"label": "T", "caption": "c", "protocol": "p", "columns": ("a", "b", "mean")}
        table = PublishedTable(**facts, rows={"x": [30.12, 31.13, average]}, averages={"mean": ["a", "b"]})
        monkeypatch.setattr("ldrestore.evaluation.published_tables.find_published", lambda name: table)
        return [each.method for each in inconsistencies("t")]

    assert [faults_of(average) for average in (30.61, 30.62, 30.63, 30.64)] == [["x"], [], [], ["x"]]
