r"""Measure what few-shot adaptation gains and costs, and what the model does under water, which it has never seen.

    ldrestore train configs/stable/tiny_estimator_few_shot_cpu.yaml data.folders='[PICTURES]' validation.folder=KODAK24
    ldrestore train configs/stable/tiny_adapters_few_shot_cpu.yaml data.folders='[PICTURES]' validation.folder=KODAK24
    ldrestore train configs/stable/tiny_adapters_few_shot_cpu.yaml data.folders='[PICTURES]' \
        validation.folder=KODAK24 train_shared=false run.output_dir=runs/stable/tiny_adapters_few_shot_cpu_rows
    python scripts/measure_adaptation.py KODAK24 --underwater UNDERWATER --base runs/stable/tiny_unet_cpu/export \
        --model before=runs/stable/tiny_adapters_cpu/export,runs/stable/tiny_refiner_cpu/export \
        --model after=runs/stable/tiny_adapters_few_shot_cpu/export \
        --model "new rows alone"=runs/stable/tiny_adapters_few_shot_cpu_rows/export --out docs/stable

A model is NAME=EXPORT of a run of stage 1, with its predictor, and after a comma the folder of a DRM that knows the
same degradations. UNDERWATER has real pairs in `lq` and `gt`. Writes adaptation.json, row by row, adaptation.md, and a
strip of the first model's pictures, underwater.jpg. Interrupted, it goes on where it stopped; rows of other weights are
measured anew, those of other pictures or settings only with `--fresh`.

Protocol "uint8", see `stable_exports`; nobody tells the model what is wrong. One sample is drawn a picture, and decoded
without the DRM, and with it where there is one. Needs the extra `metrics` (ST-LPIPS).
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measurement_file import MeasurementFile, Row
from perceptual_distance import ShiftTolerantDistance
from picture_grid import labelled, save_within
from picture_pairs import SEVERITY, list_paths, real_pairs
from PIL import Image
from stable_exports import (
    WRONG_INPUT,
    Distance,
    Sampling,
    assemble,
    at_half,
    centred_pairs,
    decoded,
    header_of,
    measure_row,
)

from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.structures import MPERCEIVER_SET

FEW_SHOT = ("jpeg(quality=10)", "demosaic(severity=0.5)", "demosaic(severity=1)")
"""What the few-shot configs adapt to."""

REAL, SYNTHETIC = "underwater, real pairs", "underwater, synthetic"
"""Rows of what no model was trained on."""

STRIP = "underwater.jpg"
"""The first model's pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlace:
    """Where a model's parts lie."""

    name: str
    """As the table calls it."""
    export: Path
    """Of a run of stage 1."""
    drm: Path | None
    """Of a DRM."""


def place_of(text: str) -> ModelPlace:
    """Read NAME=EXPORT or NAME=EXPORT,DRM.

    Raises:
        argparse.ArgumentTypeError: the text has another form.
    """
    name, separator, paths = text.partition("=")
    export, *drm = paths.split(",")
    if not (name and separator and export) or len(drm) > 1:
        raise argparse.ArgumentTypeError(f"expected NAME=EXPORT or NAME=EXPORT,DRM, got {text!r}")
    return ModelPlace(name=name, export=Path(export), drm=Path(drm[0]) if drm else None)


def measure(
    file: MeasurementFile, name: str, pipeline: StableRestorePipeline, arguments: argparse.Namespace, distance: Distance
) -> None:
    """All rows of one model, each in the section of its data."""
    paths, sampling = chosen_paths(arguments), Sampling(steps=arguments.steps, seed=arguments.seed)
    recipes = {**{recipe: recipe for recipe in FEW_SHOT}, **{known: at_half(known) for known in MPERCEIVER_SET}}
    rows = {title: centred_pairs(paths, recipe, crop=arguments.crop) for title, recipe in recipes.items()}
    rows[SYNTHETIC] = centred_pairs(paths, at_half("underwater"), crop=arguments.crop)
    if arguments.underwater is not None:
        rows[REAL] = real_pairs(arguments.underwater, limit=arguments.num_pairs)
    for title, pairs in rows.items():
        measure_row(file, title, name, pipeline=pipeline, pairs=pairs, sampling=sampling, distance=distance)


def chosen_paths(arguments: argparse.Namespace) -> list[Path]:
    """The clean pictures that are taken."""
    return list_paths(arguments.folder)[: arguments.num_pictures]


def save_strip(pipeline: StableRestorePipeline, arguments: argparse.Namespace, *, columns: int = 4) -> Path:
    """Real underwater pictures: as they are, restored, and the reference, each a row of the picture.

    Args:
        pipeline: Of the first model.
        arguments: Tell pairs, sampling and folder.
        columns: So many pictures.
    """
    sampling = Sampling(steps=arguments.steps, seed=arguments.seed)
    pairs = list(real_pairs(arguments.underwater, limit=columns))
    restored = [list(decoded(pipeline, pair.lq, sampling).values())[-1] for pair in pairs]
    rows = {"underwater": [pair.lq for pair in pairs], "restored": restored, "reference": [pair.gt for pair in pairs]}
    cells = [(label, Image.fromarray(picture)) for label, pictures in rows.items() for picture in pictures]
    path = arguments.out / STRIP
    path.parent.mkdir(parents=True, exist_ok=True)
    save_within(labelled(cells, columns=len(pairs)), path)
    return path


def report(document: dict[str, Any]) -> str:
    """The rows as Markdown."""
    settings, sections = document["settings"], document["rows"]
    few = {title: sections[title] for title in FEW_SHOT if title in sections}
    zero = {title: sections[title] for title in (REAL, SYNTHETIC) if title in sections}
    lines = [
        "# Degradations that the model was not trained on",
        "",
        "Generated by `python scripts/measure_adaptation.py`.",
        "",
        f"{len(document['pictures'])} clean pictures, squares of {settings['crop']} pixels at their centres; "
        f"{settings['steps']} steps, seed {settings['seed']}; nobody tells the model",
        "what is wrong. PSNR in dB (higher is better) / ST-LPIPS (lower is better), means over the pictures.",
        "",
        "## Few-shot: a hundred pictures, two new degradations",
        "",
        "`configs/stable/tiny_estimator_few_shot_cpu.yaml` and `configs/stable/tiny_adapters_few_shot_cpu.yaml`. Rows",
        "of the old degradations stay as they are; with `train_shared=false` all that they use does, and only the new",
        "rows learn.",
        "",
        *_table(few),
        "",
        f"What it costs: PSNR over the nine old degradations at severity {SEVERITY:g}.",
        "",
        *_old(sections),
        "",
        "## Zero-shot: under water",
        "",
        "No degradation of training looks like it; the model goes by the mixture that its predictor finds.",
        "",
        *_table(zero),
    ]
    if REAL in zero:
        lines += ["", f"![underwater, restored, reference]({STRIP})"]
    return "\n".join(lines) + "\n"


def _table(sections: dict[str, dict[str, Row]]) -> list[str]:
    """Degraded, restored, and restored with the DRM, a line a degradation and model."""
    lines = [
        "| | model | degraded | restored | with the DRM |",
        "|---|---|---|---|---|",
    ]
    for title, rows in sections.items():
        for name, row in rows.items():
            cells = " | ".join(_cell(row, kind) for kind in ("input", "plain", "refined"))
            lines.append(f"| {title} | {name} | {cells} |")
    return lines


def _cell(row: Row, kind: str) -> str:
    """PSNR and ST-LPIPS, or a dash."""
    means = row["means"]
    if f"{kind}_psnr" not in means:
        return "–"
    return f"{means[f'{kind}_psnr'][0]:.2f} / {means[f'{kind}_stlpips'][0]:.3f}"


def _old(sections: dict[str, dict[str, Row]]) -> list[str]:
    """Means over the old degradations, a line a model that has them all."""
    known = [sections[name] for name in MPERCEIVER_SET if name in sections]
    lines = ["| model | degraded | restored | with the DRM |", "|---|---|---|---|"]
    for name in known[0] if len(known) == len(MPERCEIVER_SET) else ():
        rows = [section[name]["means"] for section in known if name in section]
        if len(rows) == len(known):
            kinds = [f"{kind}_psnr" for kind in ("input", "plain", "refined")]
            cells = [f"{np.mean([row[kind][0] for row in rows]):.2f}" if kind in rows[0] else "–" for kind in kinds]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Parse the command line, measure what is not stored, write tables and strip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="clean pictures, e.g. Kodak24")
    parser.add_argument("--base", type=Path, required=True, help="export of the U-Net's run, or a saved pipeline")
    parser.add_argument("--model", type=place_of, action="append", required=True, help="NAME=EXPORT or NAME=EXPORT,DRM")
    parser.add_argument("--underwater", type=Path, help="folder of real pairs, with lq and gt")
    parser.add_argument("--out", type=Path, required=True, help="folder of adaptation.json and adaptation.md")
    parser.add_argument("--num-pictures", type=int, default=8, help="so many of the pictures, from the first on")
    parser.add_argument("--num-pairs", type=int, default=12, help="so many of the real pairs")
    parser.add_argument("--crop", type=int, default=256, help="side of the square at the centre, in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fresh", action="store_true", help="drop rows of other pictures or settings")
    arguments = parser.parse_args()
    settings = {name: getattr(arguments, name) for name in ("crop", "steps", "seed", "num_pairs")}
    try:
        header = header_of(chosen_paths(arguments), settings=settings, device=arguments.device)
        file = MeasurementFile(arguments.out / "adaptation.json", header, may_drop=arguments.fresh)
        distance = ShiftTolerantDistance(arguments.device)
        for number, place in enumerate(arguments.model):
            pipeline = assemble(arguments.base, place.export, drm=place.drm, device=arguments.device)
            measure(file, place.name, pipeline, arguments, distance)
            if number == 0 and arguments.underwater is not None:
                save_strip(pipeline, arguments)
    except WRONG_INPUT as error:
        sys.exit(str(error))
    (arguments.out / "adaptation.md").write_text(report(file.document()), encoding="utf-8")
    print(report(file.document()))


if __name__ == "__main__":
    main()
