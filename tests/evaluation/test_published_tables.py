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
