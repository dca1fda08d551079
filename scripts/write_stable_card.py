"""Write the card of the embedded model of the stable track from what was measured and what is hand-written.

    python scripts/write_stable_card.py            # write
    python scripts/write_stable_card.py --check    # exit 1 if the card is not up to date

reads `docs/stable/measurements.json`, which `measure_stable.py` writes, and `scripts/stable_card.md.in`; writes
`ldrestore/assets/ldrestore_tiny_stable/README.md`. Where the measurements are of other weights than those embedded, the
card says so, and the check fails.
"""

import argparse
import json
import sys
from pathlib import Path
from string import Template
from typing import Any

from stable_tables import ceiling_of, report_parts

from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.stable_records import describe_pipeline
from ldrestore.structures import MPERCEIVER_SET

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS = Path("docs/stable/measurements.json")
TEMPLATE = Path("scripts/stable_card.md.in")
MODEL = Path("ldrestore/assets/ldrestore_tiny_stable")
CARD = MODEL / "README.md"
STALE = "These measurements are of other weights than those that lie here; they are to be measured again."


def render(root: Path) -> str:
    """The card of a checkout."""
    document = json.loads((root / MEASUREMENTS).read_text(encoding="utf-8"))
    parts = document["model"]["parts"]
    files = [path for path in (root / MODEL).rglob("*") if path.is_file() and path.name != CARD.name]
    sections = report_parts(document)
    tables = "\n\n".join(f"### {name}\n\n{text}" for name, text in sections.items() if text)
    warning = "" if is_of_embedded(document, root) else f"**{STALE}**\n\n"
    return Template((root / TEMPLATE).read_text(encoding="utf-8")).substitute(
        ceiling=ceiling_of(document),
        parts=", ".join(f"{name} {number / 1e6:.2f} M" for name, number in parts.items()),
        parameters=f"{sum(parts.values()):,}",
        megabytes=f"{sum(path.stat().st_size for path in files) / 1e6:.1f}",
        degradations=", ".join(MPERCEIVER_SET),
        measurements=warning + tables,
    )


def is_of_embedded(document: dict[str, Any], root: Path) -> bool:
    """Whether the embedded weights are those that were measured."""
    embedded = describe_pipeline(StableRestorePipeline.from_pretrained(root / MODEL))
    return document["model"]["weights_sha256"] == embedded["weights_sha256"]


def faults(root: Path) -> list[str]:
    """What is not up to date, one line each."""
    document = json.loads((root / MEASUREMENTS).read_text(encoding="utf-8"))
    found = [] if is_of_embedded(document, root) else [STALE]
    if not (root / CARD).is_file() or (root / CARD).read_text(encoding="utf-8") != render(root):
        found.append(f"{CARD} is not up to date; run python scripts/write_stable_card.py")
    return found


def main() -> None:
    """Parse the command line; write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the card is not up to date")
    if parser.parse_args().check:
        found = faults(ROOT)
        print("\n".join(found) or "card of the stable model: up to date")
        sys.exit(bool(found))
    (ROOT / CARD).write_text(render(ROOT), encoding="utf-8")
    print(CARD)


if __name__ == "__main__":
    main()
