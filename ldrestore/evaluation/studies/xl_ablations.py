"""The rows of UniLDiff's Tables 4 and 5 upon any base, and what its decoder is worth, over several seeds.

A model is a folder ROW-SEED such as `full-0`, put together from the base and what a run of `configs/xl/ablations`
exported; `scripts/run_xl_ablations.py` trains and puts together all of them. Rows whose folders are not named are left
out, and the table says so. Those that read task prompts are asked once without and once with one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ldrestore.errors import InputError
from ldrestore.evaluation.contestants import INPUT, Contestant, model_contestant
from ldrestore.evaluation.published_tables import find_published
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.studies.study import Study, StudyCall, restored
from ldrestore.evaluation.studies.study_tables import joined, origin_of, squares_of
from ldrestore.evaluation.suites import SuiteConfig
from ldrestore.evaluation.tables import markdown

ALL = "all five"
"""The average over the degradations."""
TableName = Literal["fusion", "components", "decoder"]
"""Table 4, Table 5, and ours of what the decoder is worth."""
PRINTED = {"fusion": "unildiff/table_4", "components": "unildiff/table_5"}
"""Where the paper's figures lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRow:
    """A row of our tables."""

    title: str
    """As our tables call it."""
    model: str
    """Its folder, before the seed."""
    tables: Mapping[TableName, str]
    """In which tables it stands, and its row of the paper's; "" for none there."""
    is_told: bool = False
    """Whether it is given a task prompt."""
    has_own_latents: bool = False
    """Whether the damaged picture's own latents are decoded in place of samples."""


FUSION_ROWS: Mapping[str, FusionRow] = {
    "none": FusionRow(title="no fusion", model="none", tables={"fusion": "No fusion", "components": "none"}),
    "single": FusionRow(title="single-stream only", model="single", tables={"fusion": "Single-stream only"}),
    "double": FusionRow(title="double-stream only", model="double", tables={"fusion": "Double-stream only"}),
    "rsa": FusionRow(title="residual self-attention", model="rsa", tables={"fusion": "Residual Self-Attention (RSA)"}),
    "full": FusionRow(title="full DAFF", model="full", tables={"fusion": "Ours (Full DAFF)"}),
    "task_prompt": FusionRow(
        title="task prompt", model="none_task_prompt", tables={"components": "task prompt"}, is_told=True
    ),
    "daff": FusionRow(title="DAFF", model="full_no_task_prompt", tables={"components": "DAFF"}),
    "daff_task_prompt": FusionRow(
        title="DAFF + task prompt",
        model="full",
        tables={"components": "DAFF + task prompt", "decoder": ""},
        is_told=True,
    ),
    "decoder": FusionRow(
        title="DAFF + task prompt, decoder trained without DAEM",
        model="full_decoder",
        tables={"decoder": ""},
        is_told=True,
    ),
    "experts": FusionRow(
        title="DAFF + task prompt + DAEM",
        model="full_experts",
        tables={"components": "DAFF + task prompt + DAEM", "decoder": ""},
        is_told=True,
    ),
    "experts_own_latents": FusionRow(
        title="the same, the picture's own latents in place of samples",
        model="full_experts",
        tables={"decoder": ""},
        has_own_latents=True,
    ),
    "lq_experts": FusionRow(
        title="DAEM trained upon the picture's own latents, which it decodes",
        model="full_lq_experts",
        tables={"decoder": ""},
        has_own_latents=True,
    ),
}
"""In the order of the tables."""


@dataclass(frozen=True, kw_only=True)
class XLAblationOptions:
    """What is measured."""

    set: str = "kodak24"
    """Clean pictures."""
    crop: int = 128
    """Side in pixels of the square at the centre."""
    steps: int = 10
    """Of the sampling."""
    severity: float = 0.5
    """Of all but the noise."""
    sigma_255: float = 25.0
    """Of the noise."""
    degradations: tuple[str, ...] = ("haze", "rain", "gaussian_noise", "motion_blur", "low_light")
    """The paper's five tasks, on synthetic pictures."""
    metrics: tuple[str, ...] = ("psnr", "lpips")
    """Those of the tables."""


def measure_xl_ablations(options: XLAblationOptions, call: StudyCall) -> Results:
    """Restore by the models of each row that are named.

    Raises:
        InputError: a folder is no row's.
    """
    recipes = {name: _recipe(name, options) for name in options.degradations}
    squares = squares_of(recipes, source=options.set, crop=options.crop)
    suite = SuiteConfig(
        name="xl-ablations",
        summary=f"Five tasks, squares of {options.crop} pixels at the centre of {options.set}, severity "
        f"{options.severity:g} and noise of {options.sigma_255:g}; {options.steps} steps.",
        metrics=options.metrics,
        datasets=tuple(replace(dataset, options={"degradations": dataset.name}) for dataset in squares),
        averages={ALL: list(recipes)},
    )
    folders = {Path(model).name: model for model in call.models}
    models = {row.model for row in FUSION_ROWS.values()}
    for folder in folders:
        if model_and_seed(folder)[0] not in models:
            raise InputError(f"{folder} is no row's; name folders ROW-SEED of {', '.join(sorted(models))}")
    contestants = [
        _contestant(f"{name}-{model_and_seed(folder)[1]}", folders[folder], row, options)
        for name, row in FUSION_ROWS.items()
        for folder in sorted(folders)
        if model_and_seed(folder)[0] == row.model
    ]
    return restored(suite, contestants, call)


def model_and_seed(folder: str) -> tuple[str, int]:
    """What a folder ROW-SEED holds.

    Raises:
        InputError: it is not called so.
    """
    model, _, seed = folder.rpartition("-")
    if not model or not seed.isdecimal():
        raise InputError(f"expected a folder ROW-SEED such as full-0, got {folder}")
    return model, int(seed)


def report_xl_ablations(results: Results) -> str:
    """The whole page."""
    return joined(
        "What the parts of UniLDiff are worth at small budgets",
        {
            "Table 4: how the damaged picture enters": table_of_rows(results, "fusion"),
            "Table 5: components": table_of_rows(results, "components"),
            "The decoder": table_of_rows(results, "decoder"),
            "PSNR by task": _table_by_task(results),
            "Notes": _notes(results),
        },
    )


def table_of_rows(results: Results, table: TableName) -> str:
    """Means over tasks of each row, with the spread over its seeds, beside the paper's PSNR.

    Args:
        results: With means.
        table: Which rows.

    Returns:
        Markdown; empty where none of them was measured.
    """
    rows = {name: row for name, row in FUSION_ROWS.items() if table in row.tables}
    if not any(seeds_of(results, name) for name in rows):
        return ""
    printed = find_published(PRINTED[table]).rows if table in PRINTED else {}
    lines = [("degraded", "", *_cells(results, [INPUT]), *([""] if printed else []))]
    for name, row in rows.items():
        seeds = seeds_of(results, name)
        paper = [f"{printed[row.tables[table]][0]:.2f}"] if printed else []
        lines.append((row.title, str(len(seeds)) if seeds else "not measured", *_cells(results, seeds), *paper))
    heads = [f"{metric.name} {'↓' if metric.lower_is_better else '↑'}" for metric in results.metrics]
    return markdown(("", "seeds", *heads, *(["the paper's PSNR"] if printed else [])), lines)


def seeds_of(results: Results, name: str) -> list[str]:
    """The contestants of a row, one a seed."""
    names = [row.name for row in results.contestants if row.name != INPUT]
    return [each for each in names if model_and_seed(each)[0] == name]


def values_over_seeds(results: Results, contestants: Sequence[str], metric: str, *, dataset: str = ALL) -> list[float]:
    """The mean of each contestant that has one."""
    rows = [row for row in results.means if (row.dataset, row.metric) == (dataset, metric)]
    return [row.mean for row in rows if row.contestant in contestants]


def mean_and_spread(values: Sequence[float], digits: int) -> str:
    """Mean and sample standard deviation in words; the mean alone of one value, nothing of none."""
    if not values:
        return ""
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def _cells(results: Results, contestants: Sequence[str]) -> list[str]:
    """One for each metric."""
    return [
        mean_and_spread(values_over_seeds(results, contestants, metric.name), metric.digits)
        for metric in results.metrics
    ]


def _table_by_task(results: Results) -> str:
    """PSNR of each row by task."""
    tasks = results.averages.get(ALL, [])
    lines = []
    for name, title in ((INPUT, "degraded"), *((name, row.title) for name, row in FUSION_ROWS.items())):
        contestants = [INPUT] if name == INPUT else seeds_of(results, name)
        if contestants:
            values = [values_over_seeds(results, contestants, "psnr", dataset=task) for task in tasks]
            lines.append((title, *(mean_and_spread(each, 2) for each in values)))
    return markdown(("", *tasks), lines)


def _recipe(name: str, options: XLAblationOptions) -> str:
    """A degradation, spelled out, on which its draws depend."""
    if name == "gaussian_noise":
        return f"gaussian_noise(sigma_255={options.sigma_255:g})"
    return f"{name}(severity={options.severity:g})"


def _contestant(name: str, folder: str, row: FusionRow, options: XLAblationOptions) -> Contestant:
    """A model as a row asks it; what a dataset tells is taken back where the row is not told."""
    words = [folder, "strength=0" if row.has_own_latents else f"num_inference_steps={options.steps}"]
    if not row.is_told:
        words.append("degradations=null")
    return replace(model_contestant(",".join(words)), name=name)


def _notes(results: Results) -> str:
    """What a reader must know."""
    return (
        "± is the standard deviation over runs with other seeds, each upon the same cached pairs, with the same\n"
        "number of steps; the LQ encoder stays as it is. The paper's figures are upon SDXL and of other pictures:\n"
        "only their order can be compared. The rows of Table 4 are restored without task prompts; a task prompt\n"
        f"names the damage that was done.\n\n{origin_of(results)}"
    )


XL_ABLATIONS = Study(options=XLAblationOptions, measure=measure_xl_ablations, report=report_xl_ablations)
