"""Write the cards of the embedded fast models and the docs' tables: results of `ldrestore bench` and hand-written text.

    ldrestore bench card-short --model default --peer all --data-root DATA --cost --out out    # or card: longer
    ldrestore bench told --model default --data-root DATA --out out_told                       # where it can be told
    ldrestore bench estimate --model default --data-root DATA --limit 6 --no-input --out out_estimate
    python scripts/write_model_card.py --model default --results out --told out_told --estimates out_estimate
    python scripts/write_model_card.py                     # write from the figures that are kept, of all models
    python scripts/write_model_card.py --check             # exit 1 if a file is not up to date

The figures that are kept hold no single pictures. Where they are of other weights than those embedded, the files say
so, and the check fails. A model without figures keeps the card that it has.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from ldrestore.assets.catalog import MODELS
from ldrestore.errors import InputError
from ldrestore.evaluation.card_tables import card_tables
from ldrestore.evaluation.contestants import hash_of_model
from ldrestore.evaluation.merging import with_datasets_of
from ldrestore.evaluation.reliability import reliability_diagram, reliability_of
from ldrestore.evaluation.results import Results, read_results, write_results
from ldrestore.evaluation.summaries import condensed
from ldrestore.structures import FIRST_SET
from ldrestore.weights.folders import read_json

ROOT = Path(__file__).resolve().parent.parent
STALE = "These measurements are of other weights than those that lie here; they are to be measured again."
COMMAND = "`ldrestore bench`, suites %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One embedded model and the files that its card is made of; paths are those of the checkout."""

    name: str
    """Of the model."""
    template: Path
    """What is hand-written."""
    results: Path
    """The figures that are kept."""
    tables: Path
    """The page of the docs."""
    diagram: Path
    """Beside it: whether the probabilities of what it sees mean what they say."""

    @property
    def folder(self) -> Path:
        """Where the model lies."""
        return Path("ldrestore", MODELS.get(self.name).location)

    @property
    def weights(self) -> Path:
        """The file of its weights."""
        return self.folder / "regressor" / "diffusion_pytorch_model.safetensors"


CARDS = (
    Card(
        name="default",
        template=Path("scripts/default_card.md.in"),
        results=Path("docs/default_model/results.json"),
        tables=Path("docs/default_model/measurements.md"),
        diagram=Path("docs/default_model/reliability.svg"),
    ),
    Card(
        name="default-fast",
        template=Path("scripts/default_fast_card.md.in"),
        results=Path("docs/default_fast/results.json"),
        tables=Path("docs/default_fast/measurements.md"),
        diagram=Path("docs/default_fast/reliability.svg"),
    ),
)


def render(card: Card, root: Path) -> dict[Path, str]:
    """The generated files of one model, by path within the checkout.

    Raises:
        InputError: there are no results, or they are of another version.
        KeyError: the template has a placeholder that nothing fills.
    """
    results = read_results(root / card.results)
    warning = "" if is_of_embedded(results, card, root) else f"**{STALE}**\n\n"
    origin = f"{warning}Measured by {COMMAND % results.suite}, see [benchmarks]"
    text = Template((root / card.template).read_text(encoding="utf-8")).substitute(
        architecture=read_json(root / card.folder / "regressor" / "config.json")["_class_name"],
        parameters=f"{MODELS.get(card.name).parameters:,}",
        file_megabytes=f"{(root / card.weights).stat().st_size / 1e6:.1f}",
        degradations=", ".join(FIRST_SET),
        measurements=f"{origin}(../../../docs/benchmarks.md).\n\n{card_tables(results, card.name, heading='###')}",
    )
    bins = reliability_of(results, card.name)
    drawing = f"\n![share against probability]({card.diagram.name})\n" if bins else ""
    tables = (
        f"# Measurements of {card.name}\n\n{origin}(../benchmarks.md).\n\n"
        f"{card_tables(results, card.name, heading='##')}{drawing}"
    )
    files = {card.folder / "README.md": text, card.tables: tables}
    return files | ({card.diagram: reliability_diagram(bins, title=f"What {card.name} sees")} if bins else {})


def is_of_embedded(results: Results, card: Card, root: Path) -> bool:
    """Whether the embedded weights are those that were measured."""
    return _identity(results, card) == hash_of_model(str(root / card.folder))


def keep(
    card: Card, root: Path, results: Path, *, told_results: Path | None = None, estimates: Path | None = None
) -> None:
    """Keep the figures of a benchmark in the checkout, without single pictures.

    Args:
        card: Whose.
        root: The checkout.
        results: A folder of `ldrestore bench card` or `card-short`.
        told_results: One of `ldrestore bench told`, whose datasets follow those.
        estimates: One of `ldrestore bench estimate`, whose estimates take the place of those.

    Raises:
        InputError: they are of different weights.
    """
    kept = condensed(read_results(results))
    suites = [read_results(folder).suite for folder in (results, told_results, estimates) if folder is not None]
    for folder in (told_results, estimates):
        if folder is not None and _identity(read_results(folder), card) != _identity(kept, card):
            raise InputError(f"{folder} and {results} are of different weights of {card.name}; measure one anew")
    if told_results is not None:
        kept = with_datasets_of(kept, read_results(told_results))
    if estimates is not None:
        estimated = read_results(estimates)
        kept = replace(kept, estimates=estimated.estimates, reliability=estimated.reliability)
    write_results(replace(kept, suite=", ".join(suites)), root / card.results)


def _identity(results: Results, card: Card) -> str | None:
    """The hash of the weights that a model was measured with; None where it was not."""
    return {row.name: row.identity for row in results.contestants}.get(card.name)


def faults(card: Card, root: Path) -> list[str]:
    """What is not up to date, one line each."""
    lines = [
        f"{path} is not up to date; run python scripts/write_model_card.py"
        for path, text in render(card, root).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    is_measured = is_of_embedded(read_results(root / card.results), card, root)
    return lines if is_measured else [f"{card.name}: {STALE}", *lines]


def main() -> None:
    """Parse the command line; write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is not up to date")
    parser.add_argument("--model", choices=[card.name for card in CARDS], help="this one alone; --results needs it")
    parser.add_argument("--results", type=Path, help="keep the figures of this folder of `ldrestore bench card-short`")
    parser.add_argument("--told", type=Path, help="and those of this one of `ldrestore bench told`")
    parser.add_argument("--estimates", type=Path, help="and the estimates of this one of `ldrestore bench estimate`")
    arguments = parser.parse_args()
    cards = [card for card in CARDS if arguments.model in (None, card.name)]
    if arguments.results is not None and arguments.model is None:
        parser.error("--results needs --model")
    try:
        if arguments.results is not None:
            keep(cards[0], ROOT, arguments.results, told_results=arguments.told, estimates=arguments.estimates)
        cards = [card for card in cards if (ROOT / card.results).is_file()]
        found = [line for card in cards for line in faults(card, ROOT)]
        texts = {path: text for card in cards for path, text in render(card, ROOT).items()}
    except ValueError as error:
        sys.exit(str(error))
    if arguments.check:
        print("\n".join(found) or "model cards: up to date")
        sys.exit(bool(found))
    for path, text in texts.items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
