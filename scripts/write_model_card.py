"""Write the card of the embedded model and all tables of measurements, from what was measured and what is hand-written.

    python scripts/write_model_card.py            # write
    python scripts/write_model_card.py --check    # exit 1 if a file is not up to date

reads `docs/default_model/measurements.json`, which `measure_default.py` writes, and `scripts/model_card.md.in`; writes
`ldrestore/assets/default/README.md`, `docs/default_model/measurements.md` and the marked section of `README.md`. Where
the measurements are of other weights than those embedded, the files say so, and the check fails.
"""

import argparse
import json
import sys
from pathlib import Path
from string import Template
from typing import Any

from measurement_tables import all_tables, summary, table_of_confusions

from ldrestore.structures import FIRST_SET
from ldrestore.weights.hashes import hash_of_file

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS = Path("docs/default_model/measurements.json")
TEMPLATE = Path("scripts/model_card.md.in")
MODEL = Path("ldrestore/assets/default")
WEIGHTS = MODEL / "regressor" / "diffusion_pytorch_model.safetensors"
BEGIN, END = "<!-- measurements: begin -->\n", "<!-- measurements: end -->\n"
STALE = "These measurements are of other weights than those that lie here; they are to be measured again."
COMMAND = "`python scripts/measure_default.py KODAK24 --real PAIRS --out docs/default_model`"


def render(root: Path) -> dict[Path, str]:
    """All generated files of a checkout, by path within it.

    Raises:
        ValueError: the measurements are of another form, or README.md lacks the markers.
        KeyError: the template has a placeholder that nothing fills.
    """
    document = read_measurements(root)
    warning = "" if is_of_embedded(document, root) else f"**{STALE}**\n\n"
    origin = f"{warning}Measured by {COMMAND}."
    model = document["model"]
    card = Template((root / TEMPLATE).read_text(encoding="utf-8")).substitute(
        architecture=model["architecture"],
        parameters=f"{model['parameters']:,}",
        file_megabytes=f"{model['file_bytes'] / 1e6:.1f}",
        degradations=", ".join(FIRST_SET),
        measurements=f"{origin}\n\n{all_tables(document)}",
    )
    confusions = table_of_confusions(document)
    tables = f"# Measurements of the default model\n\n{origin}\n\n{all_tables(document, heading='##')}"
    if confusions:
        tables += f"\n## What is taken for what\n\nPercent of the pictures, over all severities.\n\n{confusions}\n"
    text = f"{origin} All tables: [measurements](docs/default_model/measurements.md).\n\n{summary(document)}"
    readme = with_section((root / "README.md").read_text(encoding="utf-8"), text)
    return {MODEL / "README.md": card, MEASUREMENTS.with_suffix(".md"): tables, Path("README.md"): readme}


def read_measurements(root: Path) -> dict[str, Any]:
    """The document of measurements of a checkout.

    Raises:
        ValueError: it has another form.
    """
    path = root / MEASUREMENTS
    document = json.loads(path.read_text(encoding="utf-8"))
    if "model" not in document or not isinstance(document.get("rows"), dict):
        raise ValueError(f"{MEASUREMENTS} is of another form than measure_default.py writes; measure again")
    return document


def is_of_embedded(document: dict[str, Any], root: Path) -> bool:
    """Whether the embedded weights are those that were measured."""
    return document["model"]["file_sha256"] == hash_of_file(root / WEIGHTS)


def with_section(readme: str, text: str) -> str:
    """A README whose marked section holds a text instead.

    Raises:
        ValueError: the markers are not there exactly once, in order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"README.md must hold the lines {BEGIN.strip()} and {END.strip()}, once and in this order")
    return before + begin + text + end + after


def faults(root: Path) -> list[str]:
    """What is not up to date, one line each."""
    lines = [
        f"{path} is not up to date; run python scripts/write_model_card.py"
        for path, text in render(root).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    return lines if is_of_embedded(read_measurements(root), root) else [STALE, *lines]


def main() -> None:
    """Parse the command line; write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is not up to date")
    arguments = parser.parse_args()
    try:
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
