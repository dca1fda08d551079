"""What the parts of an XL model are worth: sampling, detail experts, their choice, and the task prompt.

One model takes part several times, its other options unchanged: as it is, without texts; told the task; with the
degraded picture's own latents in place of sampled ones, through the same decoder; decoded without its experts, from the
same samples; and with each expert chosen where another should be. Besides it is counted which expert each picture goes
through at each resolution, and which none does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ldrestore.blocks.observation import observed
from ldrestore.checkpoints.whole_folder import whole_folder
from ldrestore.errors import InputError
from ldrestore.evaluation.cases import Case, cases_of_suite
from ldrestore.evaluation.contestants import INPUT, Contestant, hash_of_model, model_contestant
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.studies.study import Rows, Study, StudyCall, StudyRow, measured_rows, one_model, restored
from ldrestore.evaluation.studies.study_tables import joined, origin_of, table_by_dataset, table_of_differences
from ldrestore.evaluation.suites import SuiteConfig, load_suite
from ldrestore.evaluation.tables import markdown
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.options import XLRestoreOptions
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline

TOLD, OWN, NO_EXPERTS, SHUFFLED = "told the task", "its own latents", "without experts", "experts shuffled"
"""What the model is called where something is changed."""
VARIANTS = (TOLD, OWN, NO_EXPERTS, SHUFFLED)
COUNTS = "xl-parts"
"""The file of the experts' choices, without its suffix."""


@dataclass(frozen=True, kw_only=True)
class XLPartsOptions:
    """What is measured."""

    suite: str = "xl"
    """Name or file of a suite, each of whose datasets is one task."""
    steps: int = 20
    """Of the sampling."""
    counted: int = 8
    """Pictures of each dataset whose experts are counted."""
    counted_steps: int = 4
    """Of the sampling before experts are counted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class XLParts:
    """What the study found."""

    results: Results
    """Of restored pictures."""
    choices: Rows
    """Dataset to "counts": level to how many pictures, or patches, each expert was the first choice of."""


def measure_xl_parts(options: XLPartsOptions, call: StudyCall) -> XLParts:
    """Restore by all variants, and count the experts.

    Raises:
        InputError: not one model is named, or it has no experts.
    """
    model = one_model(call, "xl-parts")
    suite = load_suite(options.suite)
    datasets = tuple(replace(one, options={**one.options, "degradations": one.task}) for one in suite.datasets)
    suite = replace(suite, name="xl-parts", datasets=datasets)
    results = restored(suite, xl_variants(model, options, call), call)
    rows = [
        StudyRow(
            name=dataset.name,
            settings={"model": hash_of_model(model), "steps": options.counted_steps, "pictures": options.counted},
            measure=partial(_counted, model, suite, dataset.name, options, call),
        )
        for dataset in suite.datasets
    ]
    return XLParts(results=results, choices=measured_rows(COUNTS, rows, call))


def xl_variants(model: str, options: XLPartsOptions, call: StudyCall) -> list[Contestant]:
    """The model, as it is and changed; the first is called by the model's own name."""
    steps = f"num_inference_steps={options.steps}"
    untold = "degradations=null"  # takes back what the datasets tell
    whole = model_contestant(f"{model},{steps},{untold}")
    name = whole.name.removesuffix(f",{steps},degradations=None")
    others = {
        TOLD: f"{model},{steps}",
        OWN: f"{model},strength=0,{untold}",
        NO_EXPERTS: f"{model},{steps},refine=false,{untold}",
        SHUFFLED: f"{shuffled_model(model, call.out_dir)},{steps},{untold}",
    }
    return [replace(whole, name=name), *(replace(model_contestant(text), name=one) for one, text in others.items())]


def shuffled_model(model: str, out_dir: Path) -> Path:
    """A copy of a model in which each router chooses the expert after the one that it means; made once.

    Raises:
        InputError: it has no experts.
    """
    folder = out_dir / "shuffled" / hash_of_model(model)[:16]
    if not folder.is_dir():
        with without_progress_bar(), whole_folder(folder) as written:
            pipeline = XLRestorePipeline.from_pretrained(model)
            shuffle_experts(pipeline)
            pipeline.save_pretrained(written)
    return folder


@torch.no_grad()
def shuffle_experts(pipeline: XLRestorePipeline) -> None:
    """Let each router choose the expert after the one that it means, with the same weight.

    Args:
        pipeline: Changed in place.

    Raises:
        InputError: it has no experts.
    """
    if pipeline.daem is None:
        raise InputError("the study xl-parts takes a model with detail experts; this one has none")
    for level in pipeline.daem.levels:
        gate = level.experts.router.gate
        gate.weight.copy_(gate.weight.roll(1, 0))


def report_xl_parts(found: XLParts) -> str:
    """The whole page."""
    return joined(f"What the parts of {name_of_whole(found.results)} are worth", report_sections(found))


def report_sections(found: XLParts) -> dict[str, str]:
    """Heading to text; what was not measured is empty."""
    results, name = found.results, name_of_whole(found.results)
    against = [("restored", INPUT, name), ("told the task", INPUT, TOLD)]
    return {
        "Restoration": f"{beaten_line(results, name)}\n\n{table_by_dataset(results, (INPUT, name, TOLD))}",
        "Against the input, PSNR": table_of_differences(results, "psnr", against),
        "Against the input, LPIPS": table_of_differences(results, "lpips", against),
        "What the parts add, PSNR": table_of_differences(
            results,
            "psnr",
            [
                ("sampling, against the picture's own latents", OWN, name),
                ("the experts, upon the same samples", NO_EXPERTS, name),
                ("their own choice, against the shuffled one", SHUFFLED, name),
                ("the task prompt, against none", name, TOLD),
            ],
        ),
        "Which experts": table_of_choices(found.choices),
        "What was measured": origin_of(results),
    }


def name_of_whole(results: Results) -> str:
    """The model's own name."""
    return next(row.name for row in results.contestants if row.name not in (INPUT, *VARIANTS))


def beaten_datasets(results: Results, name: str, metrics: Sequence[str] = ("psnr", "lpips")) -> list[str]:
    """Datasets on which a contestant is better than the untouched input in all of some metrics, on average.

    Args:
        results: With means.
        name: Of the contestant.
        metrics: Those that were measured among these count.
    """
    means = {(row.contestant, row.dataset, row.metric): row.mean for row in results.means}
    measured = [metric for metric in results.metrics if metric.name in metrics]

    def is_better(dataset: str) -> bool:
        pairs = [(means[name, dataset, one.name], means[INPUT, dataset, one.name], one) for one in measured]
        return all(ours < theirs if one.lower_is_better else ours > theirs for ours, theirs, one in pairs)

    names = [row.name for row in results.datasets if (name, row.name, measured[0].name) in means]
    return [dataset for dataset in names if is_better(dataset)]


def beaten_line(results: Results, name: str) -> str:
    """On how many tasks the model is better than the degraded pictures."""
    metrics = " and ".join(metric.name for metric in results.metrics if metric.name in ("psnr", "lpips"))
    texts = []
    for one, title in ((name, "Without texts"), (TOLD, "Told the task")):
        found = beaten_datasets(results, one)
        texts.append(f"{title}: better than degraded in {metrics} on {len(found)} of {len(results.datasets)} tasks")
        texts[-1] += f" ({', '.join(found)})." if found else "."
    return " ".join(texts)


def idle_experts(choices: Rows) -> list[str]:
    """Experts that no picture goes through, as "level 0: 3"."""
    totals: dict[str, list[int]] = {}
    for row in choices.values():
        for level, counts in row["counts"].items():
            totals[level] = [sum(pair) for pair in zip(counts, totals.get(level, [0] * len(counts)), strict=True)]
    return [
        f"{level}: {number}" for level, counts in totals.items() for number, count in enumerate(counts) if not count
    ]


def table_of_choices(choices: Rows) -> str:
    """How many decisions each expert takes: a line a dataset, a column a level; empty where nothing was counted."""
    levels = list(dict.fromkeys(level for row in choices.values() for level in row["counts"]))
    if not levels:
        return ""
    lines = [(name, *(" / ".join(map(str, row["counts"][level])) for level in levels)) for name, row in choices.items()]
    idle = idle_experts(choices)
    line = f"No picture goes through {', '.join(idle)}." if idle else "No expert is idle."
    return f"{line} Decisions for each expert:\n\n{markdown(('', *levels), lines)}"


def _counted(
    model: str, suite: SuiteConfig, dataset: str, options: XLPartsOptions, call: StudyCall
) -> Mapping[str, Any]:
    """The experts' choices for the first pictures of a dataset."""
    found = cases_of_suite(suite, data_root=call.data_root, pairs=None, limit=options.counted)
    pipeline = XLRestorePipeline.from_pretrained(model).to(call.device)
    counts: dict[str, list[int]] = {}
    for case in found.cases:
        if case.dataset == dataset:
            for level, first in first_choices(pipeline, case, steps=options.counted_steps).items():
                known = counts.get(level, [0] * len(first))
                counts[level] = [sum(pair) for pair in zip(known, first, strict=True)]
    return {"counts": counts}


def first_choices(pipeline: XLRestorePipeline, case: Case, *, steps: int) -> dict[str, list[int]]:
    """Level to how often each expert is the first choice for one picture, without texts.

    Args:
        pipeline: With experts.
        case: The picture.
        steps: Of the sampling before.
    """
    assert pipeline.daem is not None, "the shuffled model was made of it before"
    photo = case.pictures().lq
    with observed(pipeline.daem.routers) as routings:
        pipeline.restore(photo, XLRestoreOptions(num_inference_steps=steps, seed=0, output_type="photo"))
    probabilities = {level: routings[level].probabilities.cpu() for level in pipeline.daem.routers if level in routings}
    return {
        level: torch.bincount(one.argmax(dim=1), minlength=one.shape[1]).tolist()
        for level, one in probabilities.items()
    }


XL_PARTS = Study(options=XLPartsOptions, measure=measure_xl_parts, report=report_xl_parts)
