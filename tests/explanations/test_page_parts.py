"""Parts of pages in Markdown, numbers as JSON has them."""

import numpy as np

from ldrestore.explanations.page_parts import code, entries, image_of, rounded, rounded_all, table_of


def test_a_table_has_a_line_a_row_and_no_cell_breaks_it():
    table = table_of(("name", "share"), [("a|b", "1"), ("c", "2")])
    assert table.splitlines() == ["| name | share |", "| --- | --- |", "| a\\|b | 1 |", "| c | 2 |"]
    assert table_of(("name",), []).count("\n") == 1


def test_text_is_set_as_it_is():
    assert code("a `b`\n# c") == "`a 'b' # c`"
    assert image_of("usage.png", "bars") == "![bars](usage.png)"


def test_numbers_are_rounded_and_plain():
    assert rounded(np.float32(0.1)) == 0.1 and type(rounded(np.float32(0.5))) is float
    assert rounded(None) is None and rounded(1 / 3) == 0.333333
    assert rounded_all(np.array([0.25, 0.5])) == [0.25, 0.5]


def test_entries_keep_the_order_of_the_pass():
    rows = {"z": (0.1,), "a": (0.2, 0.3)}
    assert entries(rows) == [{"name": "z", "weights": [0.1]}, {"name": "a", "weights": [0.2, 0.3]}]
    assert entries(rows, key="shares")[0] == {"name": "z", "shares": [0.1]}
