"""The rows of MPerceiver's Table 9: what branches, pools and the refinement are worth, upon any base.

Each row's model is a folder of the row's name, put together with `ldrestore assemble` from the base and what the runs
of `configs/stable/ablations` exported; "bare" from base and predictor alone. Rows whose folder is not named are left
out, and the table says so.

Rows without the visual branch see the damaged picture in the text alone; from pure noise they would draw another scene.
The paper does not say what its baseline starts from, and a PSNR of 16.49 dB cannot come from pure noise. Here they
start from the damaged picture's latents, noised to `strength` of the schedule (img2img); all others from pure noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ldrestore.errors import InputError
from ldrestore.evaluation.contestants import INPUT, Contestant, model_contestant
from ldrestore.evaluation.published_tables import find_published
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.studies.stable_parts import recipe_of
from ldrestore.evaluation.studies.study import Study, StudyCall, restored
from ldrestore.evaluation.studies.study_tables import joined, origin_of, squares_of
from ldrestore.evaluation.suites import SuiteConfig
from ldrestore.evaluation.tables import markdown
from ldrestore.structures import MPERCEIVER_SET
from ldrestore.weights.folders import read_json

_TEXT, _VISUAL = ("cm_adapter", "textual_prompts"), ("ir_adapter", "injection")
NINE, THREE = "all nine", "rain, haze, raindrop"
"""Averages over MPerceiver's degradations, and over those of the paper's table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A row of Table 9."""

    title: str
    """As our table calls it."""
    printed: str
    """Its row of the paper's table."""
    run: str | None
    """Its config in `configs/stable/ablations`; None for the bare prior, of which nothing is trained."""
    parts: tuple[str, ...] = ()
    """What its model has."""
    has_prompts: bool = True
    """Whether the IR-Adapter has its pools."""
    is_refined: bool = False
    """Whether the refinement decodes."""


_BOTH = "+(Visual & Textual) Branch"
ROWS: Mapping[str, TableRow] = {
    "bare": TableRow(title="bare prior", printed="Baseline (Stable Diffusion)", run=None),
    "text": TableRow(title="+ text", printed="+Textual Branch", run="text", parts=_TEXT),
    "text_no_pool": TableRow(
        title="+ text without its pool", printed="+Textual Branch w/o TP Pool", run="text_no_pool", parts=_TEXT[:1]
    ),
    "visual": TableRow(title="+ visual", printed="+Visual Branch", run="visual", parts=_VISUAL),
    "visual_no_pool": TableRow(
        title="+ visual without its pools",
        printed="+Visual Branch w/o VP Pool",
        run="visual_no_pool",
        parts=_VISUAL,
        has_prompts=False,
    ),
    "both": TableRow(title="+ both", printed=_BOTH, run="both", parts=_TEXT + _VISUAL),
    "both_no_text_pool": TableRow(
        title="+ both without the textual pool",
        printed=f"{_BOTH} w/o TP Pool",
        run="both_no_text_pool",
        parts=_TEXT[:1] + _VISUAL,
    ),
    "both_no_visual_pool": TableRow(
        title="+ both without the visual pools",
        printed=f"{_BOTH} w/o VP Pool",
        run="both_no_visual_pool",
        parts=_TEXT + _VISUAL,
        has_prompts=False,
    ),
    "full": TableRow(
        title="+ both + refinement",
        printed=f"{_BOTH} + DRM (Full Model)",
        run="both",
        parts=_TEXT + _VISUAL,
        is_refined=True,
    ),
}
"""In the paper's order, but each pool after its branch."""


@dataclass(frozen=True, kw_only=True)
class AblationOptions:
    """What is measured."""

    set: str = "kodak24"
    """Clean pictures."""
    crop: int = 256
    """Side in pixels of the square at the centre."""
    steps: int = 20
    """Of the sampling."""
    strength: float = 0.5
    """Of rows without the visual branch."""
    degradations: tuple[str, ...] = MPERCEIVER_SET
    """Those of the first average."""
    printed: tuple[str, ...] = ("rain", "haze", "raindrop")
    """Those that the paper averages over."""


def measure_ablations(options: AblationOptions, call: StudyCall) -> Results:
    """Restore by the model of each row that is named."""
    recipes = {name: recipe_of(name, 0.5) for name in options.degradations}
    suite = SuiteConfig(
        name="ablations",
        summary=f"MPerceiver's degradations at severity 0.5, squares of {options.crop} pixels at the centre of "
        f"{options.set}; {options.steps} steps.",
        metrics=("psnr", "st_lpips"),
        datasets=squares_of(recipes, source=options.set, crop=options.crop),
        averages={NINE: list(recipes), THREE: list(options.printed)},
    )
    folders = {Path(model).name: model for model in call.models}
    for name in folders:
        if name not in ROWS:
            raise InputError(f"{name} is no row of Table 9; name the folders {', '.join(ROWS)}")
    rows = [contestant_of(name, folders[name], options) for name in ROWS if name in folders]
    return restored(suite, rows, call)


def contestant_of(name: str, folder: str, options: AblationOptions) -> Contestant:
    """The model of a row, with what it starts from.

    Raises:
        InputError: there is no model, or it has other parts than the row.
    """
    row = ROWS[name]
    if not (Path(folder) / "model_index.json").is_file():
        raise InputError(f"no model at {folder}; put it together with ldrestore assemble")
    parts, has_prompts, is_refined = parts_of_model(Path(folder))
    if (parts, has_prompts, is_refined) != (row.parts, row.has_prompts, row.is_refined):
        raise InputError(
            f"{folder} has {_listed(parts, has_prompts, is_refined)}; the row {row.title!r} is of "
            f"{_listed(row.parts, row.has_prompts, row.is_refined)}; train it with configs/stable/ablations"
        )
    strength = "" if "ir_adapter" in row.parts else f",strength={options.strength:g}"
    return replace(model_contestant(f"{folder},num_inference_steps={options.steps}{strength}"), name=name)


def parts_of_model(folder: Path) -> tuple[tuple[str, ...], bool, bool]:
    """Which branches a saved model has, whether its IR-Adapter has pools, and whether it has a refinement."""
    index = read_json(folder / "model_index.json")
    found = {name for name, entry in index.items() if isinstance(entry, list) and entry[0] is not None}
    has_adapter = "ir_adapter" in found
    prompts = read_json(folder / "ir_adapter" / "config.json")["num_prompts"] if has_adapter else 1
    return tuple(name for name in _TEXT + _VISUAL if name in found), prompts > 0, "drm" in found


def report_ablations(results: Results) -> str:
    """The whole page."""
    return joined("What the parts of MPerceiver are worth", {"Table 9": table(results), "Notes": notes(results)})


def table(results: Results) -> str:
    """Our rows beside the printed ones."""
    means = {(row.contestant, row.dataset, row.metric): row.mean for row in results.means}
    options = {row.name: row.options for row in results.contestants}
    printed = find_published("mperceiver/table_9").rows
    lines = []
    for name, title in ((INPUT, "degraded"), *((name, row.title) for name, row in ROWS.items())):
        cells = [
            means.get((name, average, metric))
            for average, metric in ((NINE, "psnr"), (NINE, "st_lpips"), (THREE, "psnr"))
        ]
        shown = [
            f"{cell:.{digits}f}" if cell is not None else "" for cell, digits in zip(cells, (2, 3, 2), strict=True)
        ]
        paper = "" if name == INPUT else f"{printed[ROWS[name].printed][0]:.2f}"
        lines.append((title, _start(name, options.get(name)), *shown, paper))
    return markdown(("", "starts from", "PSNR, nine", "ST-LPIPS, nine", f"PSNR, {THREE}", "the paper's PSNR"), lines)


def notes(results: Results) -> str:
    """What a reader must know."""
    return (
        "The paper's figures are upon Stable Diffusion 2.1 and of other pictures: only their order can be compared.\n"
        "Rows without the visual branch start from the damaged picture's noised latents (img2img), the bare prior\n"
        "with an empty text. Without its pool the text has the words of the CM-Adapter alone; without its pools the\n"
        f"IR-Adapter has nothing to ask in Eq. 4, and its residual block stays.\n\n{origin_of(results)}"
    )


def _start(name: str, options: Mapping[str, object] | None) -> str:
    """What sampling begins with."""
    if name == INPUT:
        return ""
    if options is None:
        return "not measured"
    return f"the picture, strength {options['strength']:g}" if "strength" in options else "noise"


def _listed(parts: tuple[str, ...], has_prompts: bool, is_refined: bool) -> str:
    """Parts in words."""
    more = ([] if has_prompts else ["no visual pools"]) + (["a refinement"] if is_refined else [])
    return ", ".join([*parts, *more]) or "no branch"


ABLATIONS = Study(options=AblationOptions, measure=measure_ablations, report=report_ablations)
