"""What the parts of a Stable model are worth: sampling, refinement, autoencoder, solver and predictor.

One model takes part several times, its other options unchanged: whole; decoded without its refinement, from the same
samples; with the degraded picture's own latents in place of sampled ones, through the same decoder; the autoencoder
alone, which on clean pictures is the ceiling of all that is decoded without the refinement; and with DPM-Solver++ in
few steps, without the refinement. The predictor is asked at several severities, which needs no sampling.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ldrestore.datasets.compared_pairs import CLEAN_RECIPE
from ldrestore.evaluation.contestants import INPUT, Contestant, model_contestant
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.studies.study import Study, StudyCall, one_model, restored
from ldrestore.evaluation.studies.study_tables import (
    joined,
    origin_of,
    squares_of,
    table_by_dataset,
    table_of_differences,
)
from ldrestore.evaluation.suites import SuiteConfig
from ldrestore.evaluation.summaries import values_of
from ldrestore.evaluation.tables import interval_text, markdown
from ldrestore.structures import MPERCEIVER_SET

PLAIN, OWN_LATENTS, AUTOENCODER, SOLVER = "without refinement", "own latents", "autoencoder alone", "DPM-Solver++"
"""What the model is called where a part is left out or another takes its place."""


@dataclass(frozen=True, kw_only=True)
class StablePartsOptions:
    """What is measured."""

    set: str = "kodak24"
    """Clean pictures."""
    crop: int = 256
    """Side in pixels of the square at the centre."""
    severity: float = 0.5
    """Of what is restored."""
    steps: int = 50
    """Of the model's own scheduler."""
    solver_steps: int = 15
    """Of DPM-Solver++."""
    degradations: tuple[str, ...] = MPERCEIVER_SET
    """Those that are restored and told apart."""
    severities: tuple[float, ...] = (0.4, 0.7, 1.0)
    """At which the predictor is asked."""


def measure_stable_parts(options: StablePartsOptions, call: StudyCall) -> Results:
    """Restore by all variants, and ask the predictor."""
    model = one_model(call, "stable-parts")
    recipes = {name: recipe_of(name, options.severity) for name in options.degradations}
    about = f"squares of {options.crop} pixels at the centre of {options.set}"
    restoration = SuiteConfig(
        name="stable-parts",
        summary=f"Nine degradations at severity {options.severity:g} and intact pictures, {about}; nothing is told.",
        metrics=("psnr", "st_lpips"),
        datasets=squares_of({**recipes, CLEAN_RECIPE: CLEAN_RECIPE}, source=options.set, crop=options.crop),
        averages={"all damaged": list(recipes)},
    )
    results = restored(restoration, variants_of(model, options), call)
    severities = {
        f"{name} {severity:g}": recipe_of(name, severity)
        for name in options.degradations
        for severity in options.severities
    }
    prediction = SuiteConfig(
        name="stable-parts-predictor",
        summary=f"Degradations at several severities, {about}.",
        metrics=("psnr",),
        datasets=squares_of(severities, source=options.set, crop=options.crop),
    )
    predicted = restored(prediction, [_variant(model, AUTOENCODER, "strength=0,refine=false")], call, part="predictor")
    return replace(results, estimates=predicted.estimates)


def variants_of(model: str, options: StablePartsOptions) -> list[Contestant]:
    """The model, whole and in parts; the whole one is called by the model's own name."""
    steps = f"num_inference_steps={options.steps}"
    whole = model_contestant(f"{model},{steps}")
    return [
        replace(whole, name=whole.name.removesuffix(f",{steps}")),
        _variant(model, PLAIN, f"{steps},refine=false"),
        _variant(model, OWN_LATENTS, "strength=0"),
        _variant(model, AUTOENCODER, "strength=0,refine=false"),
        _variant(model, SOLVER, f"solver=dpmsolver++,num_inference_steps={options.solver_steps},refine=false"),
    ]


def recipe_of(degradation: str, severity: float) -> str:
    """A degradation at a severity, spelled out, on which its draws depend."""
    return f"{degradation}(severity={severity:g})"


def report_stable_parts(results: Results) -> str:
    """The whole page."""
    return joined(f"What the parts of {whole_name(results)} are worth", report_parts(results))


def report_parts(results: Results) -> dict[str, str]:
    """Heading to text; what was not measured is empty."""
    name = whole_name(results)
    columns = (INPUT, PLAIN, name)
    settings = [f"- {row.name}: {dict(row.options)}" for row in results.contestants if row.options]
    return {
        "The ceiling": ceiling_of(results),
        "Restoration": table_by_dataset(results, columns),
        "Against the input": table_of_differences(
            results, "psnr", [("restored", INPUT, name), ("without refinement", INPUT, PLAIN)]
        ),
        "What the parts add": table_of_differences(
            results,
            "psnr",
            [
                ("sampling, against the picture's own latents", OWN_LATENTS, name),
                ("the refinement, upon the same samples", PLAIN, name),
                ("DPM-Solver++, against the model's own scheduler", PLAIN, SOLVER),
            ],
        ),
        "Degradation predictor": predictions_of(results),
        "What was measured": "\n\n".join([origin_of(results), "\n".join(settings)]).strip(),
    }


def whole_name(results: Results) -> str:
    """The model's own name."""
    others = (INPUT, PLAIN, OWN_LATENTS, AUTOENCODER, SOLVER)
    return next(row.name for row in results.contestants if row.name not in others)


def ceiling_of(results: Results) -> str:
    """What the autoencoder alone makes of clean pictures; empty where it was not measured."""
    values = values_of(results, AUTOENCODER, CLEAN_RECIPE, "psnr")
    row = next((row for row in results.means if (row.contestant, row.dataset) == (AUTOENCODER, CLEAN_RECIPE)), None)
    if row is None or not values:
        return ""
    return (
        f"The autoencoder's round trip of {row.num_pictures} clean pictures: **{row.mean:.2f}"
        f"{interval_text(row, '.2f')} dB**, at worst {min(values.values()):.2f} dB. It bounds whatever is decoded "
        "without the refinement."
    )


def predictions_of(results: Results) -> str:
    """How often the surest name is the right one, by severity, and what is named instead."""
    found: dict[str, dict[str, Mapping[str, int]]] = {}
    for row in results.estimates:
        name, _, severity = row.dataset.rpartition(" ")
        if name:
            found.setdefault(name, {})[severity] = row.counts
    severities = list(dict.fromkeys(severity for rows in found.values() for severity in rows))
    lines, total = [], Counter[bool]()
    for name, rows in found.items():
        counts = sum((Counter(row) for row in rows.values()), Counter[str]())
        instead = [f"{other} {_share(count, counts.total())}" for other, count in counts.most_common() if other != name]
        shares = [_share(rows[key].get(name, 0), sum(rows[key].values())) if key in rows else "–" for key in severities]
        lines.append((name, *shares, _share(counts[name], counts.total()), ", ".join(instead) or "–"))
        total.update({True: counts[name], False: counts.total() - counts[name]})
    if not lines:
        return ""
    columns = ("", *(f"named right at {severity}" for severity in severities), "in all", "named instead")
    return f"Named right, over all: {_share(total[True], total.total())}.\n\n{markdown(columns, lines)}"


def _variant(model: str, name: str, words: str) -> Contestant:
    """The model with other options, under another name."""
    return replace(model_contestant(f"{model},{words}"), name=name)


def _share(count: int, total: int) -> str:
    """In percent."""
    return f"{100 * count / total:.0f} %"


STABLE_PARTS = Study(options=StablePartsOptions, measure=measure_stable_parts, report=report_stable_parts)
