"""What few-shot adaptation gains and costs, and what models do under water, which none was trained on.

Models are named by --model, such as before, after and rows: folders that `ldrestore assemble` made of the runs of
`configs/stable/*few_shot*.yaml`. Each takes part whole and without its refinement, from the same samples. The real
pairs under water are measured where the set `underwater` lies below the data root.
"""

from dataclasses import dataclass, replace

from ldrestore.errors import InputError
from ldrestore.evaluation.contestants import INPUT, model_contestant
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.studies.stable_parts import PLAIN, recipe_of
from ldrestore.evaluation.studies.study import Study, StudyCall, restored
from ldrestore.evaluation.studies.study_tables import joined, origin_of, squares_of, table_in_short
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset
from ldrestore.structures import MPERCEIVER_SET

OLD = "all old"
"""The average over what the models knew before."""
REAL, SYNTHETIC = "underwater", "underwater, synthetic"
"""Datasets of what no model was trained on."""


@dataclass(frozen=True, kw_only=True)
class AdaptationOptions:
    """What is measured."""

    set: str = "kodak24"
    """Clean pictures."""
    crop: int = 256
    """Side in pixels of the square at the centre."""
    steps: int = 20
    """Of the sampling."""
    new: tuple[str, ...] = ("jpeg(quality=10)", "demosaic(severity=0.5)", "demosaic(severity=1)")
    """Recipes of what the few-shot configs adapt to."""
    old: tuple[str, ...] = MPERCEIVER_SET
    """What was known before."""


def measure_adaptation(options: AdaptationOptions, call: StudyCall) -> Results:
    """Restore by all models.

    Raises:
        InputError: no model is named.
    """
    if not call.models:
        raise InputError("the study adaptation needs a --model, better two: before and after")
    old = {name: recipe_of(name, 0.5) for name in options.old}
    recipes = {recipe: recipe for recipe in options.new} | old | {SYNTHETIC: recipe_of("underwater", 0.5)}
    suite = SuiteConfig(
        name="adaptation",
        summary=f"New, old and unseen damage, squares of {options.crop} pixels at the centre of {options.set}; "
        f"{options.steps} steps, nothing is told.",
        metrics=("psnr", "st_lpips"),
        datasets=(
            *squares_of(recipes, source=options.set, crop=options.crop),
            SuiteDataset(name=REAL, set="underwater"),
        ),
        averages={OLD: list(old)},
        has_optional_sets=True,
    )
    contestants = []
    for model in call.models:
        whole = model_contestant(f"{model},num_inference_steps={options.steps}")
        name = model.rstrip("/").rpartition("/")[2]
        plain = model_contestant(f"{model},num_inference_steps={options.steps},refine=false")
        contestants += [replace(plain, name=f"{name}, {PLAIN}"), replace(whole, name=name)]
    return restored(suite, contestants, call)


def report_adaptation(results: Results) -> str:
    """The whole page."""
    names = [INPUT, *(row.name for row in results.contestants if row.name != INPUT)]
    unseen = [row.name for row in results.datasets if row.name in (REAL, SYNTHETIC)]
    known = results.averages.get(OLD, [])
    new = [row.name for row in results.datasets if row.name not in (*unseen, *known)]
    return joined(
        "Degradations that the model was not trained on",
        {
            "Few-shot: new degradations": table_in_short(results, names, datasets=new),
            "What that costs: the old ones": table_in_short(results, names, datasets=[*known, OLD]),
            "Zero-shot: under water": table_in_short(results, names, datasets=unseen) if unseen else "",
            "What was measured": origin_of(results),
        },
    )


ADAPTATION = Study(options=AdaptationOptions, measure=measure_adaptation, report=report_adaptation)
