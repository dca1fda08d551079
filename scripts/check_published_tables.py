"""Recompute the averages that papers print, and write what does not agree.

    python scripts/check_published_tables.py --out docs/published_tables.md

lists the tables that are entered, and each printed average that its own row does not give, beyond what rounding
explains. `--check` fails if the file says something else.
"""

import argparse
import itertools
import sys
from pathlib import Path

from ldrestore.evaluation.published_tables import find_published, inconsistencies, list_published

HEAD = """\
# Printed tables

Made by `python scripts/check_published_tables.py --out docs/published_tables.md`. The tables lie in
`ldrestore/evaluation/published/`, one file a paper. Every row was entered twice, once by column and once as the
sequence of figures that stands in the text, and both entries are compared by a test. `source: secondary` marks what was
read in someone else's account of a paper.

"""


CDD11_TABLES = ("mmfe_ir/table_1", "seminar/moce_ir_cdd11", "unildiff/table_7")
"""Tables of equal columns, of the same set."""


def disagreements(first: str, second: str) -> list[str]:
    """Methods of which two tables print different figures, each as the cells of a line."""
    tables = [find_published(name) for name in (first, second)]
    lines = []
    for method in tables[0].rows.keys() & tables[1].rows.keys():
        rows = [dict(zip(table.columns, table.rows[method], strict=True)) for table in tables]
        gaps = {name: abs(value - rows[1][name]) for name, value in rows[0].items() if value != rows[1][name]}
        if gaps:
            name = max(gaps, key=lambda name: gaps[name] if "PSNR" in name else 0.0)
            lines.append(f"{method} | {first}, {second} | {len(gaps)} | {name}: {rows[0][name]:g}, {rows[1][name]:g}")
    return sorted(lines)


def page() -> str:
    """The whole page."""
    lines = ["## Entered", "", "| table | what | rows | protocol as printed | source |", "|---|---|---|---|---|"]
    found = []
    for name in list_published():
        table = find_published(name)
        cells = (name, f"{table.paper}, {table.label}: {table.caption}", len(table.rows), table.protocol, table.source)
        lines.append(f"| {' | '.join(map(str, cells))} |")
        found += inconsistencies(name)
    lines += [
        "",
        "## Averages that do not follow from their rows",
        "",
        "Allowed is what rounding of the parts and of the average explains. Listed, not smoothed: where these tables",
        "are shown, the printed figures stand.",
        "",
        "| table | method | average | printed | of the row | allowed |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        figures = f"{each.printed:g} | {each.recomputed:.4f} | {each.allowed:.4f}"
        lines.append(f"| {each.table} | {each.method} | {each.column} | {figures} |")
    lines += ["", "## One method, two papers", "", "Cells of CDD11 that two tables print differently.", ""]
    lines += ["| method | tables | cells that differ | the largest |", "|---|---|---|---|"]
    for first, second in itertools.combinations(CDD11_TABLES, 2):
        lines += [f"| {line} |" for line in disagreements(first, second)]
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line; write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/published_tables.md"))
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        arguments.out.write_text(page(), encoding="utf-8")
    elif arguments.out.read_text(encoding="utf-8") != page():
        sys.exit(f"{arguments.out} is not what the tables give; make it anew without --check")


if __name__ == "__main__":
    main()
