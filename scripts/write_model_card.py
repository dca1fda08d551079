"""Write the embedded model's card and the docs' tables, from results of `ldrestore bench` and what is hand-written.

    ldrestore bench card --model default --peer all --data-root DATA --cost --out out
    ldrestore bench estimate --model default --data-root DATA --no-input --out out_estimate
    python scripts/write_model_card.py --results out --estimates out_estimate   # keep these figures, and write
    python scripts/write_model_card.py                                          # write from the figures that are kept
    python scripts/write_model_card.py --check                                  # exit 1 if a file is not up to date

The figures that are kept are `docs/default_model/results.json`, without single pictures. Writes
`ldrestore/assets/default/README.md` and `docs/default_model/measurements.md`. Where
the figures are of other weights than those embedded, the files say so, and the check fails.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from string import Template

from ldrestore.assets.catalog import MODELS
from ldrestore.evaluation.card_tables import card_tables
from ldrestore.evaluation.contestants import hash_of_model
from ldrestore.evaluation.results import Results, read_results, write_results
from ldrestore.evaluation.summaries import condensed
from ldrestore.structures import FIRST_SET
from ldrestore.weights.folders import read_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path("docs/default_model/results.json")
TABLES = Path("docs/default_model/measurements.md")
TEMPLATE = Path("scripts/model_card.md.in")
MODEL = Path("ldrestore/assets/default")
WEIGHTS = MODEL / "regressor" / "diffusion_pytorch_model.safetensors"
NAME = "default"
STALE = "These measurements are of other weights than those that lie here; they are to be measured again."
COMMAND = "`ldrestore bench card` and `ldrestore bench estimate`"


def render(root: Path) -> dict[Path, str]:
    """All generated files of a checkout, by path within it.

    Raises:
        InputError: there are no results, or they are of another version.
        KeyError: the template has a placeholder that nothing fills.
    """
    results = read_results(root / RESULTS)
    warning = "" if is_of_embedded(results, root) else f"**{STALE}**\n\n"
    origin = f"{warning}Measured by {COMMAND}, see [benchmarks]"
    card = Template((root / TEMPLATE).read_text(encoding="utf-8")).substitute(
        architecture=read_json(root / MODEL / "regressor" / "config.json")["_class_name"],
        parameters=f"{MODELS.get(NAME).parameters:,}",
        file_megabytes=f"{(root / WEIGHTS).stat().st_size / 1e6:.1f}",
        degradations=", ".join(FIRST_SET),
        measurements=f"{origin}(../../../docs/benchmarks.md).\n\n{card_tables(results, NAME, heading='###')}",
    )
    tables = (
        f"# Measurements of the default model\n\n{origin}(../benchmarks.md).\n\n"
        f"{card_tables(results, NAME, heading='##')}"
    )
    return {MODEL / "README.md": card, TABLES: tables}


def is_of_embedded(results: Results, root: Path) -> bool:
    """Whether the embedded weights are those that were measured."""
    measured = {row.name: row.identity for row in results.contestants}
    return measured.get(NAME) == hash_of_model(str(root / MODEL))


def keep(root: Path, results: Path, estimates: Path | None) -> None:
    """Keep the figures of a benchmark in the checkout, without single pictures, and with the estimates of another."""
    kept = condensed(read_results(results))
    if estimates is not None:
        seen = read_results(estimates)
        kept = replace(kept, estimates=seen.estimates, reliability=seen.reliability)
    write_results(kept, root / RESULTS)


def faults(root: Path) -> list[str]:
    """What is not up to date, one line each."""
    lines = [
        f"{path} is not up to date; run python scripts/write_model_card.py"
        for path, text in render(root).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    return lines if is_of_embedded(read_results(root / RESULTS), root) else [STALE, *lines]


def main() -> None:
    """Parse the command line; write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is not up to date")
    parser.add_argument("--results", type=Path, help="keep the figures of this folder of `ldrestore bench card`")
    parser.add_argument("--estimates", type=Path, help="and the estimates of this one of `ldrestore bench estimate`")
    arguments = parser.parse_args()
    try:
        if arguments.results is not None:
            keep(ROOT, arguments.results, arguments.estimates)
        found, texts = faults(ROOT), render(ROOT)
    except ValueError as error:
        sys.exit(str(error))
    if arguments.check:
        print("\n".join(found) or "model card: up to date")
        sys.exit(bool(found))
    for path, text in texts.items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
