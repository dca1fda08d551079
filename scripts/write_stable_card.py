"""Write the card of the embedded model of the stable track from what was measured and what is hand-written.

    python scripts/write_stable_card.py            # write
    python scripts/write_stable_card.py --check    # exit 1 if the card is not up to date

reads `docs/stable/measurements.json`, which `measure_stable.py` writes, and `scripts/stable_card.md.in`; writes
`ldrestore/assets/ldrestore_tiny_stable/README.md` and `docs/stable/measurements.md`. Where the measurements are of
other weights, another scheduler, view or number format than the embedded model has, the card says so, and the check
fails; the steps are those that were measured. A checkout with neither model nor measurements passes it.
"""

import argparse
import json
import sys
from pathlib import Path
from string import Template
from typing import Any

from measured_rows import WRONG_INPUT, commands_of
from stable_tables import all_rows, ceiling_of, report_parts, stable_report

from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.options import StableRestoreOptions
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.sampled_records import describe_pipeline
from ldrestore.sampling.denoising import prediction_type_of

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS = Path("docs/stable/measurements.json")
TEMPLATE = Path("scripts/stable_card.md.in")
MODEL = Path("ldrestore/assets/ldrestore_tiny_stable")
CARD = MODEL / "README.md"
STALE = "These measurements are of {} than the model that lies here; they are to be measured again."
PREDICTIONS = {"v_prediction": "v", "epsilon": "the noise", "sample": "the picture's latents"}


def render(root: Path, embedded: dict[str, Any] | None = None) -> dict[Path, str]:
    """All generated files of a checkout, by path within it.

    Args:
        root: Of the checkout.
        embedded: What `read_embedded` gives; None to read it.

    Raises:
        ValueError: measurements or model are missing, or the template has a placeholder that nothing fills.
    """
    document, embedded = read_measurements(root), embedded or read_embedded(root)
    found = differences(document, embedded)
    warning = f"**{STALE.format(', '.join(found))}**\n\n" if found else ""
    sections = report_parts(document)
    tables = "\n\n".join(f"### {name}\n\n{text}" for name, text in sections.items() if text)
    steps = f"Sampled in {document['settings']['steps']} steps where nothing else is said."
    origin = f"{warning}{steps} Measured by, paths by names:\n\n{commands_of(all_rows(document))}"
    return {
        CARD: fill_template(root, document, embedded, measurements=f"{origin}\n\n{tables}"),
        MEASUREMENTS.with_suffix(".md"): stable_report(document),
    }


def fill_template(root: Path, document: dict[str, Any], embedded: dict[str, Any], *, measurements: str) -> str:
    """The card.

    Raises:
        ValueError: the template has a placeholder that nothing fills.
    """
    parts = document["model"]["parts"]
    files = [path for path in (root / MODEL).rglob("*") if path.is_file() and path.name != CARD.name]
    values = {
        "ceiling": ceiling_of(document),
        "parts": ", ".join(f"{name} {number / 1e6:.2f} M" for name, number in parts.items()),
        "parameters": f"{sum(parts.values()):,}",
        "megabytes": f"{sum(path.stat().st_size for path in files) / 1e6:.1f}",
        "prediction": PREDICTIONS.get(embedded["prediction_type"], embedded["prediction_type"]),
        "schedule": embedded["schedule"],
        "scheduler": embedded["scheduler"],
        "steps": str(embedded["steps"]),
        "degradations": ", ".join(embedded["degradations"]),
        "measurements": measurements,
    }
    template = Template((root / TEMPLATE).read_text(encoding="utf-8"))
    unknown = [name for name in template.get_identifiers() if name not in values]
    if unknown:
        names = ", ".join(f"${name}" for name in unknown)
        raise ValueError(f"{TEMPLATE} has placeholders that nothing fills: {names}; write these texts in their place")
    return template.substitute(values)


def read_measurements(root: Path) -> dict[str, Any]:
    """The document of measurements of a checkout.

    Raises:
        ValueError: there is none, or it has another form.
    """
    path = root / MEASUREMENTS
    if not path.is_file():
        raise ValueError(f"there is no {MEASUREMENTS}; write it with scripts/measure_stable.py")
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = all_rows({"rows": {}, **document})
    if "model" not in document or not rows or any({"environment", "command"} - row.keys() for row in rows):
        raise ValueError(f"{MEASUREMENTS} is of another form than measure_stable.py writes; measure again")
    return document


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
    described, config = describe_pipeline(pipeline), pipeline.scheduler.config
    ends_in_noise = bool(config.get("rescale_betas_zero_snr"))
    from_last = config.get("timestep_spacing") == "trailing"
    schedule = "ends in pure noise" if ends_in_noise else "ends in nearly pure noise"
    return {
        **{key: described[key] for key in ("weights_sha256", "scheduler", "scheduler_sha256", "view")},
        "dtype": str(pipeline.unet.dtype).removeprefix("torch."),
        "prediction_type": prediction_type_of(pipeline.scheduler),
        "schedule": f"{schedule}, sampled from {'its last step' if from_last else 'near its last step'} on",
        "steps": StableRestoreOptions.num_inference_steps,
        "degradations": list(pipeline.predictor.names),
    }


def has_model(root: Path) -> bool:
    """Whether a model is embedded."""
    return (root / MODEL / "model_index.json").is_file()


def differences(document: dict[str, Any], embedded: dict[str, Any]) -> list[str]:
    """In what the measured model is another than the embedded one, in words."""
    model = document["model"]
    found = [] if model["weights_sha256"] == embedded["weights_sha256"] else ["other weights"]
    if model["scheduler_sha256"] != embedded["scheduler_sha256"] or model["scheduler"] != embedded["scheduler"]:
        found.append(f"another scheduler ({model['scheduler']}, its settings included)")
    if model["prediction_type"] != embedded["prediction_type"]:
        found.append(f"another prediction ({model['prediction_type']})")
    if model["view"] != embedded["view"]:
        found.append(f"another view ({model['view']}, not {embedded['view']})")
    if model["dtype"] != embedded["dtype"]:
        found.append(f"another number format ({model['dtype']}, not {embedded['dtype']})")
    return found


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
    found = differences(read_measurements(root), embedded)
    return [STALE.format(", ".join(found)), *lines] if found else lines


def main() -> None:
    """Parse the command line; write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is not up to date")
    arguments = parser.parse_args()
    try:
        if arguments.check:
            found = faults(ROOT)
            print("\n".join(found) or "card of the stable model: up to date")
            sys.exit(bool(found))
        for path, text in render(ROOT).items():
            (ROOT / path).write_text(text, encoding="utf-8")
            print(path)
    except WRONG_INPUT as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
