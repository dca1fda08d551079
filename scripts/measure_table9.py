r"""Measure the rows of MPerceiver's Table 9 and write them as a table: what branches, pools and the DRM are worth.

    for row in text text_no_pool visual visual_no_pool both both_no_text_pool both_no_visual_pool; do
        ldrestore train configs/stable/ablations/$row.yaml data.folders='[PICTURES]' validation.folder=KODAK24
    done
    python scripts/measure_table9.py KODAK24 --base runs/stable/tiny_unet_cpu/export \
        --predictor runs/stable/tiny_estimator_cpu/export --rows runs/stable/ablations \
        --drm runs/stable/tiny_refiner_cpu/export --out docs/stable

writes ablations.json, picture by picture, and ablations.md. Interrupted, it goes on where it stopped; rows of other
weights are measured anew, those of other pictures, settings, devices or packages only with `--fresh`. A row whose
run is missing is left out, and the table says so; what was measured of it earlier stays in the file, but is not told.
Protocol "uint8" at severity 0.5, see `stable_exports`. Needs the extra `metrics` (ST-LPIPS).

Rows without the visual branch do not see the damaged picture but in the text, and a sample from pure noise has nothing
of its layout. The paper does not say what its baseline starts from; a PSNR of 16.49 dB cannot come from pure noise.
Here these rows start from the damaged picture's latents, noised to `--strength` of the schedule (img2img), the bare
prior with an empty text; all others start from pure noise.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measured_rows import FOLDER, WRONG_INPUT, check_settings, command_of, header_of, measure_row, told
from measurement_file import MeasurementFile, Row
from stable_exports import Distance, Sampling, assemble, at_half, identity, measure_of

from ldrestore.datasets.compared_pairs import SEVERITY, synthetic_pairs
from ldrestore.datasets.pictures import list_pictures
from ldrestore.metrics.st_lpips import ShiftTolerantDistance
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.structures import MPERCEIVER_SET

PAPERS_THREE = ("rain", "haze", "raindrop")
"""Table 9 averages over deraining, dehazing and raindrop removal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A row of Table 9."""

    title: str
    """As the table calls it."""
    paper: float
    """PSNR in dB in the paper, on other pictures and upon Stable Diffusion."""
    run: str | None
    """Folder of its run; None for the bare prior, of which nothing is trained."""
    parts: tuple[str, ...] = ()
    """What the run has trained."""
    has_prompts: bool = True
    """Whether the IR-Adapter has its pools."""
    is_refined: bool = False
    """Whether the DRM decodes."""


TEXT, VISUAL = ("cm_adapter", "textual_prompts"), ("ir_adapter", "injection")

ROWS: dict[str, TableRow] = {
    "bare": TableRow(title="bare prior", paper=16.49, run=None),
    "text": TableRow(title="+ text", paper=19.19, run="text", parts=TEXT),
    "text_no_pool": TableRow(title="+ text without its pool", paper=18.94, run="text_no_pool", parts=TEXT[:1]),
    "visual": TableRow(title="+ visual", paper=25.05, run="visual", parts=VISUAL),
    "visual_no_pool": TableRow(
        title="+ visual without its pools", paper=24.94, run="visual_no_pool", parts=VISUAL, has_prompts=False
    ),
    "both": TableRow(title="+ both", paper=25.31, run="both", parts=TEXT + VISUAL),
    "both_no_text_pool": TableRow(
        title="+ both without the textual pool", paper=25.20, run="both_no_text_pool", parts=TEXT[:1] + VISUAL
    ),
    "both_no_visual_pool": TableRow(
        title="+ both without the visual pools",
        paper=25.13,
        run="both_no_visual_pool",
        parts=TEXT + VISUAL,
        has_prompts=False,
    ),
    "full": TableRow(title="+ both + DRM", paper=29.17, run="both", parts=TEXT + VISUAL, is_refined=True),
}
"""In the paper's order, but each pool after its branch."""


def missing_of(row: TableRow, arguments: argparse.Namespace) -> str | None:
    """What a row lacks, in words; None where all is there."""
    if row.run is not None and not (arguments.rows / row.run / "export").is_dir():
        return f"no export of the run {row.run}"
    return "no DRM" if row.is_refined and arguments.drm is None else None


def pipeline_of(row: TableRow, arguments: argparse.Namespace) -> StableRestorePipeline:
    """The pipeline that a row is measured with.

    Raises:
        ValueError: the run has trained something else than the row says.
    """
    pipeline = assemble(
        arguments.base,
        arguments.predictor if row.run is None else arguments.rows / row.run / "export",
        drm=arguments.drm if row.is_refined else None,
        device=arguments.device,
        leaves_out_parts=row.run is None,
    )
    found = tuple(name for name in TEXT + VISUAL if getattr(pipeline, name) is not None)
    has_prompts = pipeline.ir_adapter is None or pipeline.ir_adapter.has_prompts
    if (found, has_prompts) != (row.parts, row.has_prompts):
        raise ValueError(
            f"the run {row.run} has {', '.join(found)}, visual pools: {has_prompts}; the row '{row.title}' is of "
            f"{', '.join(row.parts)}, visual pools: {row.has_prompts}; train it with configs/stable/ablations"
        )
    return pipeline


def measure(file: MeasurementFile, arguments: argparse.Namespace, *, distance: Distance) -> list[str]:
    """All rows whose runs are there, each over all degradations; gives their names."""
    measured = []
    paths = list_pictures([arguments.folder])[: arguments.num_pictures]
    for name, row in ROWS.items():
        lacking = missing_of(row, arguments)
        if lacking is not None:
            kept = "; rows that were measured of it earlier are not told" if name in file.rows else ""
            print(f"{name}: left out, {lacking}{kept}")
            continue
        measured.append(name)
        strength = 1.0 if "ir_adapter" in row.parts else arguments.strength
        sampling = Sampling(steps=arguments.steps, strength=strength, seed=arguments.seed)
        pipeline = pipeline_of(row, arguments)
        for degradation in MPERCEIVER_SET:
            pairs = synthetic_pairs(paths, at_half(degradation), crop=arguments.crop)
            values_of = measure_of(pipeline, sampling=sampling, distance=distance)
            measure_row(file, name, degradation, pairs=pairs, measure=values_of, same=identity(pipeline, sampling))
    return measured


def mean_of(rows: dict[str, Any], degradations: tuple[str, ...], metric: str) -> float:
    """Of a metric over degradations; of the refined decoding where there is one."""
    kinds = ["refined", "plain"] if metric in ("psnr", "stlpips") else [None]
    keys = [f"{kind}_{metric}" if kind else metric for kind in kinds]
    means = [rows[name]["means"] for name in degradations]
    return float(np.mean([next(found[key][0] for key in keys if key in found) for found in means]))


def whole_rows(document: dict[str, Any], names: list[str]) -> dict[str, dict[str, Row]]:
    """Those of the named rows that hold every picture of every degradation."""
    whole = {}
    for name in names:
        rows = {known: row for known, row in document["rows"].get(name, {}).items() if known in MPERCEIVER_SET}
        is_whole = all(set(row["names"]) == set(document["pictures"]) for row in rows.values())
        if is_whole and len(rows) == len(MPERCEIVER_SET):
            whole[name] = rows
    return whole


def table(document: dict[str, Any], *, names: list[str], command: str) -> str:
    """The rows as Markdown.

    Args:
        document: Header and rows.
        names: Rows that were measured now, or found to be up to date; the others are not told.
        command: That made it.
    """
    settings, whole = document["settings"], whole_rows(document, names)
    lines = [
        "# What the parts of the stable track are worth",
        "",
        f"Generated by `{command}` (paths by names):",
        "MPerceiver's Table 9, on the embedded small prior.",
        "",
        f"{len(document['pictures'])} clean pictures, squares of {settings['crop']} pixels at their centres, degraded "
        f"at severity {SEVERITY:g}; {settings['steps']} steps, seed {settings['seed']}.",
        "Stage 1 of all trained rows had the same short budget, upon the same frozen base, see",
        "`configs/stable/ablations/`. Means of PSNR (higher is better) and ST-LPIPS (lower is better) over the nine",
        "degradations, and of PSNR over the three of the paper's table (rain, haze, raindrop). The paper's own figures",
        "are upon Stable Diffusion 2.1 and on other pictures, so that only their order can be compared.",
        "",
        "| | starts from | PSNR, nine | ST-LPIPS, nine | PSNR, three | the paper's |",
        "|---|---|---|---|---|---|",
    ]
    if whole:
        rows = next(iter(whole.values()))
        cells = [mean_of(rows, MPERCEIVER_SET, f"input_{metric}") for metric in ("psnr", "stlpips")]
        three = mean_of(rows, PAPERS_THREE, "input_psnr")
        lines.append(f"| degraded | | {cells[0]:.2f} | {cells[1]:.3f} | {three:.2f} | |")
    for name, row in ROWS.items():
        if name not in whole:
            lines.append(f"| {row.title} | | not measured | | | {row.paper:.2f} |")
            continue
        rows = whole[name]
        strength = next(iter(rows.values()))["strength"]
        start = "noise" if strength == 1 else f"the picture, strength {strength:g}"
        nine, far = (mean_of(rows, MPERCEIVER_SET, metric) for metric in ("psnr", "stlpips"))
        three = mean_of(rows, PAPERS_THREE, "psnr")
        lines.append(f"| {row.title} | {start} | {nine:.2f} | {far:.3f} | {three:.2f} | {row.paper:.2f} |")
    places = dict.fromkeys(told(row.get("environment")) for rows in whole.values() for row in rows.values())
    return "\n".join([*lines, "", *NOTES, *(f"- Computed on {place}." for place in places)]) + "\n"


NOTES = (
    "- Rows without the visual branch see the damaged picture in the text alone; from pure noise they would draw",
    "  another scene. The paper does not say what its baseline starts from. Here they start from the damaged picture's",
    "  latents, noised so far (img2img), the bare prior with an empty text.",
    "- Without its pool the text has the words of the CM-Adapter alone. Without its pools the IR-Adapter has nothing",
    "  to ask in Eq. 4: the attention goes with them, its residual block stays.",
    "- The DRM is one that was trained upon the whole model, with its longer stage 1.",
)


def command_line(arguments: argparse.Namespace) -> str:
    """The command that makes the table, folders by names."""
    folders = {"base": "BASE", "predictor": "PREDICTOR", "rows": "RUNS", "drm": "DRM" if arguments.drm else None}
    names = ("num_pictures", "crop", "steps", "strength", "seed", "device")
    options = {name: getattr(arguments, name) for name in names}
    return command_of("measure_table9", FOLDER, options={**folders, "out": "OUT", **options})


def main() -> None:
    """Parse the command line, measure what is not stored, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="clean pictures, e.g. Kodak24")
    parser.add_argument("--base", type=Path, required=True, help="export of the U-Net's run, or a saved pipeline")
    parser.add_argument("--predictor", type=Path, required=True, help="export of the predictor's run")
    parser.add_argument("--rows", type=Path, default=Path("runs/stable/ablations"), help="folder of the rows' runs")
    parser.add_argument("--drm", type=Path, help="export of the DRM's run, or a saved pipeline")
    parser.add_argument("--out", type=Path, required=True, help="folder of ablations.json and ablations.md")
    parser.add_argument("--num-pictures", type=int, default=8, help="so many of the pictures, from the first on")
    parser.add_argument("--crop", type=int, default=256, help="side of the square at the centre, in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--strength", type=float, default=0.5, help="of rows without the visual branch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    fresh = "drop rows of other pictures or settings; measure those of other devices, threads or packages anew"
    parser.add_argument("--fresh", action="store_true", help=fresh)
    arguments = parser.parse_args()
    settings = {name: getattr(arguments, name) for name in ("crop", "steps", "seed")}
    try:
        check_settings(arguments)
        paths = list_pictures([arguments.folder])[: arguments.num_pictures]
        header = header_of(paths, settings=settings)
        file = MeasurementFile(arguments.out / "ablations.json", header, may_drop=arguments.fresh)
        names = measure(file, arguments, distance=ShiftTolerantDistance(arguments.device))
        text = table(file.document(), names=names, command=command_line(arguments))
        (arguments.out / "ablations.md").write_text(text, encoding="utf-8")
    except WRONG_INPUT as error:
        sys.exit(str(error))
    print(text)


if __name__ == "__main__":
    main()
