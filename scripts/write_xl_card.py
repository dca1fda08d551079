"""Write the card of the embedded model of the XL track from what was measured and what is hand-written.

    ldrestore bench --study xl-parts --model ldrestore-tiny-xl --data-root DATA --limit 8 --out out
    python scripts/write_xl_card.py --results out   # keep these figures, and write
    python scripts/write_xl_card.py                 # write from the figures that are kept
    python scripts/write_xl_card.py --check         # exit 1 if the card is not up to date

The figures that are kept are `docs/xl/measurements.json` and, of the experts, `docs/xl/experts.json`; hand-written is
`scripts/xl_card.md.in`, and what is said of training comes from the model's own `ldrestore.json`. Writes the card in
`ldrestore/assets/ldrestore_tiny_xl` and `docs/xl/measurements.md`. Where the figures are of another model than the
embedded one, the card says so, and the check fails. A checkout with neither passes it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from write_stable_card import STALE, run_command, sampling_facts, sampling_values, substituted

from ldrestore.evaluation.contestants import hash_of_model
from ldrestore.evaluation.results import Results, read_results, write_results
from ldrestore.evaluation.studies.study import rows_as_text
from ldrestore.evaluation.studies.xl_parts import (
    COUNTS,
    XLParts,
    beaten_line,
    name_of_whole,
    report_sections,
    report_xl_parts,
)
from ldrestore.evaluation.summaries import condensed
from ldrestore.evaluation.tables import markdown
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.weights.file_names import ORIGIN_FILE
from ldrestore.weights.folders import read_json

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS = Path("docs/xl/measurements.json")
EXPERTS = Path("docs/xl/experts.json")
TEMPLATE = Path("scripts/xl_card.md.in")
MODEL = Path("ldrestore/assets/ldrestore_tiny_xl")
CARD = MODEL / "README.md"
STUDY = "ldrestore bench --study xl-parts"


def render(root: Path, embedded: Mapping[str, Any] | None = None) -> dict[Path, str]:
    """All generated files of a checkout, by path within it.

    Args:
        root: Of the checkout.
        embedded: What `read_embedded_xl` gives; None to read it.

    Raises:
        InputError: there are no measurements, or they are of another version.
        ValueError: there is no model, or the template has a placeholder that nothing fills.
    """
    found, embedded = read_measured(root), embedded or read_embedded_xl(root)
    results = found.results
    warning = "" if is_of_embedded(results, root) else f"**{STALE}**\n\n"
    steps = {row.name: row.options for row in results.contestants}[name_of_whole(results)]["num_inference_steps"]
    tables = "\n\n".join(f"### {name}\n\n{text}" for name, text in report_sections(found).items() if text)
    origin = f"{warning}Sampled in {steps} steps. Measured by `{STUDY}`, see [benchmarks](../../../docs/benchmarks.md)."
    values = {
        **sampling_values(embedded, root / MODEL),
        "beaten": beaten_line(results, name_of_whole(results)),
        "training": table_of_runs(embedded["runs"]),
        "measurements": f"{origin}\n\n{tables}",
    }
    return {CARD: substituted(root, TEMPLATE, values), MEASUREMENTS.with_suffix(".md"): report_xl_parts(found)}


def table_of_runs(runs: Sequence[Mapping[str, Any]]) -> str:
    """What the model was trained by, a line a run."""
    lines = [
        (
            run["run"],
            run["trainer"],
            "; ".join(f"{one['steps']} of {one['batch_size']}, {one['patch_size']} px" for one in run["stages"]),
            f"{run['learning_rate']:g}",
            str(run["minutes"]),
        )
        for run in runs
    ]
    return markdown(("run", "trainer", "steps, batch, crop", "learning rate", "minutes"), lines)


def read_measured(root: Path) -> XLParts:
    """The figures that are kept.

    Raises:
        InputError: there are none, or they are of another version.
    """
    choices = read_json(root / EXPERTS)["rows"] if (root / EXPERTS).is_file() else {}
    return XLParts(results=read_results(root / MEASUREMENTS), choices=choices)


def keep(root: Path, out: Path) -> None:
    """Keep the figures of a study in the checkout, without single pictures."""
    results = condensed(read_results(out))
    (root / MEASUREMENTS).parent.mkdir(parents=True, exist_ok=True)
    write_results(results, root / MEASUREMENTS)
    rows = read_json(out / f"{COUNTS}.json")["rows"]
    (root / EXPERTS).write_text(rows_as_text(COUNTS, rows), encoding="utf-8")


def is_of_embedded(results: Results, root: Path) -> bool:
    """Whether the files that were measured are those that lie here."""
    measured = {row.name: row.identity for row in results.contestants}
    return measured[name_of_whole(results)] == hash_of_model(str(root / MODEL))


def read_embedded_xl(root: Path) -> dict[str, Any]:
    """What the embedded model is, how it samples where nothing else is said, and which runs it is of.

    Raises:
        ValueError: there is none.
        WeightsError: it is damaged.
    """
    if not has_model(root):
        raise ValueError(f"there is no model in {MODEL}; put it there with scripts/embed_xl_model.py")
    with without_progress_bar():
        pipeline = XLRestorePipeline.from_pretrained(root / MODEL)
    runs = read_json(root / MODEL / ORIGIN_FILE)["runs"]
    return {**sampling_facts(pipeline), "steps": pipeline.config["steps"], "runs": runs}


def has_model(root: Path) -> bool:
    """Whether a model is embedded."""
    return (root / MODEL / "model_index.json").is_file()


def faults(root: Path) -> list[str]:
    """What is not up to date, one line each; nothing for a checkout with neither model nor measurements.

    Raises:
        ValueError: see `render`.
    """
    if not has_model(root) and not (root / MEASUREMENTS).is_file():
        return []
    lines = [
        f"{path} is not up to date; run python scripts/write_xl_card.py"
        for path, text in render(root).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    return lines if is_of_embedded(read_results(root / MEASUREMENTS), root) else [STALE, *lines]


def main() -> None:
    """Write or check the card of the XL model."""
    run_command(__doc__, "XL", study=STUDY, keep=keep, faults=faults, render=render)


if __name__ == "__main__":
    main()
