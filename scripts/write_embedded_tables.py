"""Write the tables of docs/benchmarks.md on the embedded models, from results of `ldrestore bench`, between two marks.

    MODELS="--model default --model default-fast --model ldrestore-tiny-stable"
    ldrestore bench real-short $MODELS --data-root DATA --out short
    python scripts/write_embedded_tables.py --results short   # keep these figures, and write; may be given again
    python scripts/write_embedded_tables.py                   # write from the figures that are kept
    python scripts/write_embedded_tables.py --check           # exit 1 if the page is not up to date

The figures that are kept, docs/embedded/SUITE.json, hold no single pictures. Those of all real pairs are the cards',
see scripts/write_model_card.py. Where some are of other weights than those embedded, the page says so, and the check
fails.
"""

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path

from write_model_card import CARDS, Card

from ldrestore.assets.catalog import MODELS
from ldrestore.errors import InputError
from ldrestore.evaluation.card_tables import sizes_line, table_of_gains
from ldrestore.evaluation.contestants import INPUT, hash_of_model
from ldrestore.evaluation.results import Results, read_results, write_results
from ldrestore.evaluation.summaries import condensed
from ldrestore.evaluation.tables import protocol_line, table_of_means

ROOT = Path(__file__).resolve().parent.parent
PAGE, KEPT = Path("docs/benchmarks.md"), Path("docs/embedded")
BEGIN, END = "<!-- tables by scripts/write_embedded_tables.py -->", "<!-- end of the tables -->"
_BETWEEN = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)


def page_of(root: Path) -> str:
    """The page with its tables anew.

    Raises:
        InputError: the page has no marks, or results are of another version.
    """
    page = (root / PAGE).read_text(encoding="utf-8")
    if not _BETWEEN.search(page):
        raise InputError(f"{PAGE} has no place for the tables; put two lines there: {BEGIN} and {END}")
    parts = [tables_of(results, root) for results in shown_results(root)]
    text = "\n\n".join([BEGIN, *parts, END])
    return _BETWEEN.sub(lambda match: text, page)


def shown_results(root: Path) -> list[Results]:
    """What the page shows: the real pairs of the cards, then each suite that is kept.

    Raises:
        InputError: results are of another version.
    """
    cards = [
        real_pairs_of(read_results(root / card.results), card) for card in CARDS if (root / card.results).is_file()
    ]
    kept = [read_results(path) for path in sorted((root / KEPT).glob("*.json"))]
    return [*cards, *kept]


def real_pairs_of(results: Results, card: Card) -> Results:
    """A card's figures of a model and the input on pairs that nobody made, of which nothing was told."""
    rows = [row for row in results.datasets if row.making == "pairs" and " told" not in row.name]
    names, pair = {row.name for row in rows}, (INPUT, card.name)
    return replace(
        results,
        suite=f"{results.suite.partition(',')[0]}, {card.name}",
        summary="All real pairs that were there.",
        averages={},
        datasets=tuple(rows),
        contestants=tuple(row for row in results.contestants if row.name in pair),
        means=tuple(row for row in results.means if row.dataset in names and row.contestant in pair),
        comparisons=tuple(
            row for row in results.comparisons if row.dataset in names and (row.first, row.second) == pair
        ),
    )


def tables_of(results: Results, root: Path) -> str:
    """What one suite shows: protocol, gains over the input, and the means of each metric."""
    old = other_weights(results, root)
    warning = f"**Measured with other weights than those that lie here: {', '.join(old)}.**" if old else ""
    gains = [table_of_gains(results, metric) for metric in results.metrics if metric.name == "psnr"]
    measured = {row.metric for row in results.means}
    means = [table_of_means(results, metric) for metric in results.metrics if metric.name in measured]
    heading = f"### Suite {results.suite}\n\n{results.summary} {protocol_line(results)} {sizes_line(results)}"
    return "\n\n".join(part for part in (heading, warning, *gains, *means) if part)


def other_weights(results: Results, root: Path) -> list[str]:
    """Embedded models of the results whose weights are not those that lie in the checkout."""
    folders = {record.name: root / "ldrestore" / record.location for record in MODELS}
    return [
        row.name
        for row in results.contestants
        if row.name in folders and hash_of_model(str(folders[row.name])) != row.identity
    ]


def keep(root: Path, folder: Path) -> None:
    """Keep the figures of a benchmark in the checkout, without single pictures.

    Raises:
        InputError: there are none.
    """
    results = read_results(folder)
    write_results(condensed(results), root / KEPT / f"{results.suite}.json")


def main() -> None:
    """Parse the command line; write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is not up to date")
    parser.add_argument("--results", type=Path, action="append", default=[], help="keep the figures of this folder")
    arguments = parser.parse_args()
    try:
        for folder in arguments.results:
            keep(ROOT, folder)
        text = page_of(ROOT)
    except InputError as error:
        sys.exit(str(error))
    if not arguments.check:
        (ROOT / PAGE).write_text(text, encoding="utf-8")
        return
    old = {name for results in shown_results(ROOT) for name in other_weights(results, ROOT)}
    faults = [f"{name}: the tables of {PAGE} are of other weights; measure it again" for name in sorted(old)]
    if text != (ROOT / PAGE).read_text(encoding="utf-8"):
        faults.append(f"{PAGE} is not up to date; run python scripts/write_embedded_tables.py")
    print("\n".join(faults) or f"{PAGE}: up to date")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
