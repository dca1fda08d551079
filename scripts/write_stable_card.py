"""Write the card of the embedded model of the Stable track from what was measured and what is hand-written.

    ldrestore bench --study stable-parts --model ldrestore-tiny-stable --data-root DATA --limit 8 --out out
    python scripts/write_stable_card.py --results out   # keep these figures, and write
    python scripts/write_stable_card.py                 # write from the figures that are kept
    python scripts/write_stable_card.py --check         # exit 1 if the card is not up to date

The figures that are kept are `docs/stable/measurements.json`; the hand-written part is `scripts/stable_card.md.in`.
Writes `ldrestore/assets/ldrestore_tiny_stable/README.md` and `docs/stable/measurements.md`. Where the figures are of
another model than the embedded one, the card says so, and the check fails. A checkout with neither passes it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

from ldrestore.errors import LDRestoreError
from ldrestore.evaluation.contestants import hash_of_model
from ldrestore.evaluation.results import Results, read_results, write_results
from ldrestore.evaluation.studies.full_widths import part_sizes
from ldrestore.evaluation.studies.stable_parts import ceiling_of, report_parts, report_stable_parts, whole_name
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.pipelines.sampled_records import describe_pipeline
from ldrestore.sampling.denoising import prediction_type_of

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS = Path("docs/stable/measurements.json")
TEMPLATE = Path("scripts/stable_card.md.in")
MODEL = Path("ldrestore/assets/ldrestore_tiny_stable")
CARD = MODEL / "README.md"
STALE = "These measurements are of another model than the one that lies here; they are to be measured again."
PREDICTIONS = {"v_prediction": "v", "epsilon": "the noise", "sample": "the picture's latents"}
STUDY = "ldrestore bench --study stable-parts"


def render(root: Path, embedded: dict[str, Any] | None = None) -> dict[Path, str]:
    """All generated files of a checkout, by path within it.

    Args:
        root: Of the checkout.
        embedded: What `read_embedded` gives; None to read it.

    Raises:
        InputError: there are no measurements, or they are of another version.
        ValueError: there is no model, or the template has a placeholder that nothing fills.
    """
    results, embedded = read_results(root / MEASUREMENTS), embedded or read_embedded(root)
    warning = "" if is_of_embedded(results, root) else f"**{STALE}**\n\n"
    tables = "\n\n".join(f"### {name}\n\n{text}" for name, text in report_parts(results).items() if text)
    steps = {row.name: row.options for row in results.contestants}[whole_name(results)]["num_inference_steps"]
    origin = f"{warning}Sampled in {steps} steps where nothing else is said. Measured by `{STUDY}`, see [benchmarks]"
    return {
        CARD: fill_template(
            root, results, embedded, measurements=f"{origin}(../../../docs/benchmarks.md).\n\n{tables}"
        ),
        MEASUREMENTS.with_suffix(".md"): report_stable_parts(results),
    }


def fill_template(root: Path, results: Results, embedded: dict[str, Any], *, measurements: str) -> str:
    """The card.

    Raises:
        ValueError: the template has a placeholder that nothing fills.
    """
    values = {
        **sampling_values(embedded, root / MODEL),
        "ceiling": ceiling_of(results),
        "degradations": ", ".join(embedded["degradations"]),
        "measurements": measurements,
    }
    return substituted(root, TEMPLATE, values)


def sampling_values(facts: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Placeholders of what a model is.

    Args:
        facts: See `sampling_facts`; and "steps", of the sampling where nothing is said.
        folder: Of the model.
    """
    parts, files = facts["parts"], [path for path in folder.rglob("*") if path.is_file() and path.name != CARD.name]
    return {
        "parts": ", ".join(f"{name} {number / 1e6:.2f} M" for name, number in parts.items()),
        "parameters": f"{sum(parts.values()):,}",
        "megabytes": f"{sum(path.stat().st_size for path in files) / 1e6:.1f}",
        "prediction": PREDICTIONS.get(facts["prediction_type"], facts["prediction_type"]),
        "schedule": facts["schedule"],
        "scheduler": facts["scheduler"],
        "steps": str(facts["steps"]),
    }


def substituted(root: Path, path: Path, values: Mapping[str, str]) -> str:
    """A template with its placeholders filled.

    Args:
        root: Of the checkout.
        path: Of the template within it.
        values: Placeholder to text.

    Raises:
        ValueError: it has a placeholder that nothing fills.
    """
    template = Template((root / path).read_text(encoding="utf-8"))
    unknown = [name for name in template.get_identifiers() if name not in values]
    if unknown:
        names = ", ".join(f"${name}" for name in unknown)
        raise ValueError(f"{path} has placeholders that nothing fills: {names}; write these texts in their place")
    return template.substitute(values)


def keep(root: Path, out: Path) -> None:
    """Keep the figures of a study in the checkout; predictions are those of its second suite."""
    results, predictor_results = read_results(out), read_results(out / "predictor")
    write_results(replace(results, estimates=predictor_results.estimates), root / MEASUREMENTS)


def is_of_embedded(results: Results, root: Path) -> bool:
    """Whether the files that were measured are those that lie here."""
    measured = {row.name: row.identity for row in results.contestants}
    return measured[whole_name(results)] == hash_of_model(str(root / MODEL))


def read_embedded(root: Path) -> dict[str, Any]:
    """What the embedded model is, and how it samples where nothing else is said.

    Raises:
        ValueError: there is none.
        WeightsError: it is damaged.
    """
    if not has_model(root):
        raise ValueError(f"there is no model in {MODEL}; put it there with scripts/embed_stable_model.py")
    with without_progress_bar():
        pipeline = StableRestorePipeline.from_pretrained(root / MODEL)
    return {
        **sampling_facts(pipeline),
        "steps": pipeline.config["steps"],
        "degradations": list(pipeline.predictor.names),
    }


def sampling_facts(pipeline: StableRestorePipeline | XLRestorePipeline) -> dict[str, Any]:
    """Sizes of a pipeline's networks, what its U-Net predicts, and on which schedule."""
    config = pipeline.scheduler.config
    ends_in_noise = bool(config.get("rescale_betas_zero_snr"))
    from_last = config.get("timestep_spacing") == "trailing"
    schedule = "ends in pure noise" if ends_in_noise else "ends in nearly pure noise"
    return {
        "scheduler": describe_pipeline(pipeline)["scheduler"],
        "parts": part_sizes(pipeline.components),
        "prediction_type": prediction_type_of(pipeline.scheduler),
        "schedule": f"{schedule}, sampled from {'its last step' if from_last else 'near its last step'} on",
    }


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
    embedded = read_embedded(root)
    lines = [
        f"{path} is not up to date; run python scripts/write_stable_card.py"
        for path, text in render(root, embedded).items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]
    return lines if is_of_embedded(read_results(root / MEASUREMENTS), root) else [STALE, *lines]


def run_command(
    description: str | None,
    model: str,
    *,
    study: str,
    keep: Callable[[Path, Path], None],
    faults: Callable[[Path], list[str]],
    render: Callable[[Path], dict[Path, str]],
) -> None:
    """Parse the command line of a script that writes a sampled model's card; write or check.

    Args:
        description: What the help says.
        model: What the card is of, in a word.
        study: The command whose results are kept.
        keep: Takes the checkout and a folder of results, and keeps their figures.
        faults: What is not up to date in a checkout.
        render: The files of a checkout, by their paths in it.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is not up to date")
    parser.add_argument("--results", type=Path, help=f"keep the figures of this folder of `{study}`")
    arguments = parser.parse_args()
    try:
        if arguments.results is not None:
            keep(ROOT, arguments.results)
        if arguments.check:
            found = faults(ROOT)
            print("\n".join(found) or f"card of the {model} model: up to date")
            sys.exit(bool(found))
        for path, text in render(ROOT).items():
            (ROOT / path).write_text(text, encoding="utf-8")
            print(path)
    except (LDRestoreError, ValueError, OSError) as error:
        sys.exit(str(error))


def main() -> None:
    """Write or check the card of the Stable model."""
    run_command(__doc__, "stable", study=STUDY, keep=keep, faults=faults, render=render)


if __name__ == "__main__":
    main()
