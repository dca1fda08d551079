r"""Measure what few-shot adaptation gains and costs, and what the model does under water, which it has never seen.

    ldrestore train configs/stable/tiny_estimator_few_shot_cpu.yaml data.folders='[PICTURES]' validation.folder=KODAK24
    ldrestore train configs/stable/tiny_adapters_few_shot_cpu.yaml data.folders='[PICTURES]' validation.folder=KODAK24
    ldrestore train configs/stable/tiny_adapters_few_shot_cpu.yaml data.folders='[PICTURES]' \
        validation.folder=KODAK24 train_shared=false run.output_dir=runs/stable/tiny_adapters_few_shot_cpu_rows
    ldrestore train configs/stable/tiny_refiner_few_shot_cpu.yaml data.folders='[PICTURES]' validation.folder=KODAK24
    ldrestore train configs/stable/tiny_refiner_few_shot_cpu.yaml data.folders='[PICTURES]' \
        validation.folder=KODAK24 adapters=runs/stable/tiny_adapters_few_shot_cpu_rows/export \
        run.output_dir=runs/stable/tiny_refiner_few_shot_rows
    python scripts/measure_adaptation.py KODAK24 --underwater UNDERWATER --base runs/stable/tiny_unet_cpu/export \
        --out docs/stable \
        --model before=runs/stable/tiny_adapters_rollout_cpu/export,runs/stable/tiny_refiner_cpu/export \
        --model after=runs/stable/tiny_adapters_few_shot_cpu/export,runs/stable/tiny_refiner_few_shot_cpu/export \
        --model rows=runs/stable/tiny_adapters_few_shot_cpu_rows/export,runs/stable/tiny_refiner_few_shot_rows/export

A model is NAME=EXPORT of a run of stage 1, with its predictor, and after a comma the folder of a DRM that knows the
same degradations. UNDERWATER has real pairs in `lq` and `gt`. Writes adaptation.json, picture by picture, the report
adaptation.md, and with `--strip` one of the first model's real pictures, underwater.jpg: mind whose they are before you
publish it. Interrupted, it goes on where it stopped; rows
of other weights or other real pairs are measured anew, those of other clean pictures, settings, devices or packages
only with `--fresh`. The report tells of the models named now; what was measured of others stays in the file.

Protocol "uint8", see `stable_exports`; nobody tells the model what is wrong. One sample is drawn a picture, and decoded
without the DRM, and with it where there is one. Needs the extra `metrics` (ST-LPIPS).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from measured_rows import FOLDER, WRONG_INPUT, check_settings, command_of, header_of, measure_row, told
from measurement_file import MeasurementFile, Row
from picture_grid import labelled, save_within
from PIL import Image
from stable_exports import Distance, Sampling, assemble, at_half, decoded, identity, measure_of

from ldrestore.datasets.compared_pairs import SEVERITY, real_pairs, synthetic_pairs
from ldrestore.datasets.pictures import list_pictures
from ldrestore.metrics.st_lpips import ShiftTolerantDistance
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
    rows = {title: synthetic_pairs(paths, recipe, crop=arguments.crop) for title, recipe in recipes.items()}
    same = identity(pipeline, sampling)
    rows[SYNTHETIC] = synthetic_pairs(paths, at_half("underwater"), crop=arguments.crop)
    if arguments.underwater is not None:
        rows[REAL] = real_pairs(arguments.underwater, limit=arguments.num_pairs)
    values_of = measure_of(pipeline, sampling=sampling, distance=distance)
    for title, pairs in rows.items():
        of_pairs = {"pairs": hash_of_pairs(arguments)} if title == REAL else {}
        measure_row(file, title, name, pairs=pairs, measure=values_of, same=same | of_pairs)


def chosen_paths(arguments: argparse.Namespace) -> list[Path]:
    """The clean pictures that are taken."""
    return list_pictures([arguments.folder])[: arguments.num_pictures]


def hash_of_pairs(arguments: argparse.Namespace) -> str:
    """Of the real pairs that are taken: their names and pixels."""
    digest = sha256()
    for pair in real_pairs(arguments.underwater, limit=arguments.num_pairs):
        digest.update(pair.name.encode() + pair.lq.tobytes() + pair.gt.tobytes())
    return digest.hexdigest()[:16]


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


def told_rows(document: dict[str, Any], names: Sequence[str], *, has_pairs: bool) -> dict[str, dict[str, Row]]:
    """Rows by title and model, of the models and data that were measured now."""
    titles = [title for title in document["rows"] if title != REAL or has_pairs]
    rows = {
        title: {name: document["rows"][title][name] for name in names if name in document["rows"][title]}
        for title in titles
    }
    return {title: section for title, section in rows.items() if section}


def report(document: dict[str, Any], *, names: Sequence[str], has_pairs: bool, has_strip: bool, command: str) -> str:
    """The rows as Markdown.

    Args:
        document: Header and rows.
        names: Models that were measured now, or found to be up to date; the others are not told.
        has_pairs: Whether real pairs were.
        has_strip: Whether a strip of them was written.
        command: That made it.
    """
    settings, sections = document["settings"], told_rows(document, names, has_pairs=has_pairs)
    places = dict.fromkeys(told(row.get("environment")) for section in sections.values() for row in section.values())
    few = {title: sections[title] for title in FEW_SHOT if title in sections}
    zero = {title: sections[title] for title in (REAL, SYNTHETIC) if title in sections}
    lines = [
        "# Degradations that the model was not trained on",
        "",
        f"Generated by `{command}` (paths by names).",
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
    if has_strip and REAL in zero:
        lines += ["", f"![underwater, restored, reference]({STRIP})"]
    lines += [line for place in places for line in ("", f"Computed on {place}.")]
    return "\n".join(lines) + "\n"


def _table(sections: dict[str, dict[str, Row]]) -> list[str]:
    """Degraded, restored, and restored with the DRM, a line a degradation and model."""
    lines = [
        "| | model | pictures | degraded | restored | with the DRM |",
        "|---|---|---|---|---|---|",
    ]
    for title, rows in sections.items():
        for name, row in rows.items():
            cells = " | ".join(_cell(row, kind) for kind in ("input", "plain", "refined"))
            lines.append(f"| {title} | {name} | {len(row['names'])} | {cells} |")
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
    lines = ["| model | pictures | degraded | restored | with the DRM |", "|---|---|---|---|---|"]
    for name in known[0] if len(known) == len(MPERCEIVER_SET) else ():
        rows = [section[name]["means"] for section in known if name in section]
        counts = sorted({len(section[name]["names"]) for section in known if name in section})
        if len(rows) == len(known):
            kinds = [f"{kind}_psnr" for kind in ("input", "plain", "refined")]
            cells = [f"{np.mean([row[kind][0] for row in rows]):.2f}" if kind in rows[0] else "–" for kind in kinds]
            lines.append(f"| {name} | {' to '.join(map(str, counts))} | {' | '.join(cells)} |")
    return lines


def command_line(arguments: argparse.Namespace) -> str:
    """The command that makes the report, folders by names."""
    models = [f"{place.name}=EXPORT{',DRM' if place.drm else ''}" for place in arguments.model]
    words = " ".join(f'--model "{model}"' if " " in model else f"--model {model}" for model in models)
    folders = {"base": "BASE", "underwater": "UNDERWATER" if arguments.underwater else None, "out": "OUT"}
    names = ("num_pictures", "num_pairs", "crop", "steps", "seed", "device")
    options = {name: getattr(arguments, name) for name in names}
    return command_of("measure_adaptation", FOLDER, words, options=folders | options)


def main() -> None:
    """Parse the command line, measure what is not stored, write tables and strip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="clean pictures, e.g. Kodak24")
    parser.add_argument("--base", type=Path, required=True, help="export of the U-Net's run, or a saved pipeline")
    parser.add_argument("--model", type=place_of, action="append", required=True, help="NAME=EXPORT or NAME=EXPORT,DRM")
    parser.add_argument("--underwater", type=Path, help="folder of real pairs, with lq and gt")
    parser.add_argument("--strip", action="store_true", help="also write a strip of the real pairs")
    parser.add_argument("--out", type=Path, required=True, help="folder of adaptation.json and adaptation.md")
    parser.add_argument("--num-pictures", type=int, default=8, help="so many of the pictures, from the first on")
    parser.add_argument("--num-pairs", type=int, default=12, help="so many of the real pairs")
    parser.add_argument("--crop", type=int, default=256, help="side of the square at the centre, in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    fresh = "drop rows of other pictures or settings; measure those of other devices, threads or packages anew"
    parser.add_argument("--fresh", action="store_true", help=fresh)
    arguments = parser.parse_args()
    settings = {name: getattr(arguments, name) for name in ("crop", "steps", "seed", "num_pairs")}
    try:
        check_settings(arguments)
        header = header_of(chosen_paths(arguments), settings=settings)
        file = MeasurementFile(arguments.out / "adaptation.json", header, may_drop=arguments.fresh)
        has_pairs = arguments.underwater is not None
        has_strip = has_pairs and arguments.strip
        distance = ShiftTolerantDistance(arguments.device)
        for number, place in enumerate(arguments.model):
            pipeline = assemble(arguments.base, place.export, drm=place.drm, device=arguments.device)
            measure(file, place.name, pipeline, arguments, distance)
            if number == 0 and has_strip:
                save_strip(pipeline, arguments)
        names = [place.name for place in arguments.model]
        if left_out := sorted({name for rows in file.rows.values() for name in rows} - set(names)):
            print(f"not told, since not named now: {', '.join(left_out)}")
        known = {"has_pairs": has_pairs, "has_strip": has_strip, "command": command_line(arguments)}
        text = report(file.document(), names=names, **known)
        (arguments.out / "adaptation.md").write_text(text, encoding="utf-8")
    except WRONG_INPUT as error:
        sys.exit(str(error))
    print(text)


if __name__ == "__main__":
    main()
