"""Measure a restorer: degradations, mixtures, real pairs, clean pictures, its estimate, speed and memory.

    python scripts/measure_cbm3d.py KODAK24_FOLDER --out docs/default_model/cbm3d.json
    python scripts/measure_default.py KODAK24_FOLDER --real PAIRS_FOLDER --out docs/default_model
    python scripts/write_model_card.py

The second writes `measurements.json`, one row after the other; interrupted, it goes on where it stopped. `--fresh`
measures the named sections anew, and drops all rows of other weights or pictures, which it otherwise refuses to do.
`--quick 2` takes the first two pictures, leaves memory out and writes `quick_measurements.json`.

Protocol "uint8": the clean 8-bit picture x is degraded at severity 0.5 or as stated, clipped and rounded to 8 bits,
restored without being told what is wrong, rounded to 8 bits; PSNR over all RGB pixels of a picture with a data range
of 255, averaged over the pictures; the interval is a 95 % bootstrap interval of that mean. Gaussian noise is
x + sigma * n. The noise and all other draws of a picture depend on its file name and the recipe alone. Needs the extras
`metrics` (ST-LPIPS) and `test` (a large picture of scikit-image).
"""

import argparse
import os
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bounds import judge
from measure_cbm3d import NUM_PICTURES, SIGMAS, read_results, recipe_of, stored_psnr
from measure_speed import measure_in_process
from measure_tiled_memory import measure_memory
from measurement_file import MeasurementFile, Row, as_row
from measurement_tables import table_of_verdicts

from ldrestore.assets.catalog import MODELS, folder_of
from ldrestore.datasets.compared_pairs import CLEAN_RECIPE, Pair, real_pairs, synthetic_pairs
from ldrestore.datasets.pictures import list_pictures
from ldrestore.degradations import list_mixtures
from ldrestore.degradations.recipes import parse_recipe
from ldrestore.evaluation.classical_peers import (
    dehaze_by_dark_channel,
    equalise_globally,
    equalise_locally,
    non_local_means,
)
from ldrestore.metrics.psnr import MEAN_CAP, psnr
from ldrestore.metrics.st_lpips import ShiftTolerantDistance
from ldrestore.records import RECORDED_PACKAGES
from ldrestore.regressors.factory import record_of
from ldrestore.restorers import load_restorer
from ldrestore.structures import FIRST_SET
from ldrestore.weights.hashes import hash_of_file

REAL_SETS = ("polyu", "sots_indoor", "rain100h")
"""Folders of pairs, each with `lq` and `gt`, that nothing was trained on."""
SEVERITIES = (0.4, 0.6, 0.8, 1.0)
"""At which the degradation estimate is tested."""

REAL_DAMAGE = {"polyu": "real_noise", "sots_indoor": "haze", "rain100h": "rain"}
"""What is wrong with the pictures of `REAL_SETS`."""
ASKED_FOR = {"haze", "low_light"}
"""Degradations that a picture alone may not show; rows with them are measured with the damage named, too."""

Restorer = Callable[[np.ndarray], np.ndarray]

PEERS: dict[str, dict[str, Restorer]] = {
    **{recipe_of(sigma): {"opencv_nlm": partial(non_local_means, sigma_255=sigma)} for sigma in SIGMAS},
    "haze": {"dark_channel": dehaze_by_dark_channel},
    "low_light": {"clahe": equalise_locally, "histogram_equalisation": equalise_globally},
    "sots_indoor": {"dark_channel": dehaze_by_dark_channel},
}
"""Classical restorers beside ours, by name of the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is measured, on what, and where the rows go."""

    pipeline: Any
    """The restorer."""
    model: str
    """Its name or folder."""
    device: str
    """Where it runs."""
    paths: list[Path]
    """Clean pictures."""
    real: Path | None
    """Folder with `REAL_SETS`."""
    file: MeasurementFile
    """The rows."""
    quick: int | None
    """Only so many pictures of each set."""

    def restore(self, lq: np.ndarray, degradations: dict[str, float] | None = None) -> np.ndarray:
        """A picture restored, (H, W, 3) uint8; with degradations named, for models that take them."""
        options = {} if degradations is None else {"degradations": degradations}
        return self.pipeline(lq, **options).photos[0].pixels

    def named_damage(self, row: str) -> dict[str, float] | None:
        """What a user would name of a row's damage; None where the model takes no names, or decides by itself."""
        if not record_of(self.pipeline.regressor).takes_hints:
            return None
        recipe = REAL_DAMAGE.get(row, row)
        names = {step.name for step in parse_recipe(recipe).steps} if recipe != CLEAN_RECIPE else set()
        return {name: 1.0 for name in names} if names & ASKED_FOR else None


def rows_of_degradations() -> list[str]:
    """Recipes measured at severity 0.5: the first set, Gaussian noise at three strengths."""
    others = [name for name in FIRST_SET if name != "gaussian_noise"]
    return [*map(recipe_of, SIGMAS), *others]


def measure_degradations(bench: Bench) -> None:
    """One row a degradation."""
    for recipe in rows_of_degradations():
        measure_row(bench, "degradations", recipe, synthetic_pairs(bench.paths, recipe))


def measure_clean(bench: Bench) -> None:
    """One row: clean pictures are to come back as they are."""
    measure_row(bench, "clean", "clean", synthetic_pairs(bench.paths, "clean"))


def measure_mixtures(bench: Bench) -> None:
    """One row a published mixture, with the perceptual distance."""
    distance = ShiftTolerantDistance(bench.device)
    for recipe in list_mixtures():
        measure_row(bench, "mixtures", recipe, synthetic_pairs(bench.paths, recipe), distance=distance)


def measure_real(bench: Bench) -> None:
    """One row a set of real pairs."""
    if bench.real is None:
        print("real: left out, since --real names no folder")
        return
    for name in REAL_SETS:
        measure_row(bench, "real", name, real_pairs(bench.real / name, limit=bench.quick))


def measure_row(
    bench: Bench, section: str, name: str, pairs: Iterable[Pair], *, distance: ShiftTolerantDistance | None = None
) -> None:
    """Restore the pairs of a row, by ours and its peers, and store it, unless it is stored already."""
    if bench.file.row(section, name) is not None:
        return
    names: list[str] = []
    values: dict[str, list[float]] = {}
    for pair in pairs:
        names.append(pair.name)
        restored = bench.restore(pair.lq)
        measured = {
            "input_psnr": psnr(pair.lq, pair.gt, cap=MEAN_CAP),
            "restored_psnr": psnr(restored, pair.gt, cap=MEAN_CAP),
        }
        if (damage := bench.named_damage(name)) is not None:
            measured["named_psnr"] = psnr(bench.restore(pair.lq, damage), pair.gt, cap=MEAN_CAP)
        for peer, restore in PEERS.get(name, {}).items():
            measured[f"{peer}_psnr"] = psnr(restore(pair.lq), pair.gt, cap=MEAN_CAP)
        if distance is not None:
            both = distance([pair.lq, restored], pair.gt)
            measured["input_stlpips"], measured["restored_stlpips"] = both
        for metric, value in measured.items():
            values.setdefault(metric, []).append(value)
    values["gain_psnr"] = [b - a for a, b in zip(values["input_psnr"], values["restored_psnr"], strict=True)]
    store(bench, section, name, as_row(names, values, digits=4))


def store(bench: Bench, section: str, name: str, row: Row) -> None:
    """Keep a row and print what it says."""
    bench.file.add(section, name, row)
    plain = {key: value for key, value in row.items() if key not in ("names", "per_picture", "predicted")}
    print(section, name, row.get("means", plain), flush=True)


def compare_with_cbm3d(bench: Bench) -> None:
    """Rows of our PSNR and the stored one of CBM3D, on the pictures that both restored."""
    results = read_results(bench.file.path.with_name("cbm3d.json"))
    for recipe in map(recipe_of, SIGMAS):
        ours = bench.file.row("degradations", recipe)
        if ours is None:
            continue
        pairs = list(synthetic_pairs(bench.paths[:NUM_PICTURES], recipe))
        theirs = [stored_psnr(results, recipe, pair) for pair in pairs]
        if None in theirs:
            print(f"cbm3d {recipe}: left out, not all of its pictures are stored; run measure_cbm3d.py")
            continue
        values = {
            "restored_psnr": ours["per_picture"]["restored_psnr"][: len(pairs)],
            "cbm3d_psnr": [value for value in theirs if value is not None],
        }
        store(bench, "cbm3d", recipe, as_row([pair.name for pair in pairs], values))


def measure_estimate(bench: Bench) -> None:
    """One row a degradation: how often the surest name of the estimate is the right one, and what it says instead."""
    if not bench.pipeline(np.zeros((64, 64, 3), np.uint8)).degradations[0]:
        print("estimate: left out, since this model gives none")
        return
    for degradation in FIRST_SET:
        if bench.file.row("estimate", degradation) is not None:
            continue
        right = np.zeros((len(SEVERITIES), len(bench.paths)))
        predicted: dict[str, Counter[str]] = {}
        for index, severity in enumerate(SEVERITIES):
            pairs = synthetic_pairs(bench.paths, f"{degradation}(severity={severity})")
            named = [bench.pipeline(pair.lq).degradations[0].ranked()[0][0] for pair in pairs]
            right[index] = [name == degradation for name in named]
            predicted[str(severity)] = Counter(named)
        row = as_row([path.name for path in bench.paths], {"top1": right.mean(axis=0).tolist()}, digits=4)
        store(bench, "estimate", degradation, {**row, "predicted": predicted})


def measure_speed(bench: Bench) -> None:
    """One row: seconds of a megapixel beside OpenCV's non-local means."""
    if bench.file.row("speed", "megapixel") is None:
        folder, repeats = bench.paths[0].parent, 1 if bench.quick else 5
        row = measure_in_process(folder, bench.model, device=bench.device, repeats=repeats)
        store(bench, "speed", "megapixel", row)


def measure_tiled_memory(bench: Bench) -> None:
    """One row: the command line on 50 megapixels with 2 GB."""
    if bench.quick:
        print("memory: left out, since --quick is given")
    elif bench.file.row("memory", "tiled") is None:
        store(bench, "memory", "tiled", measure_memory(bench.model, megapixels=50, budget=2))


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "speed": measure_speed,
    "memory": measure_tiled_memory,
    "degradations": measure_degradations,
    "cbm3d": compare_with_cbm3d,
    "clean": measure_clean,
    "real": measure_real,
    "mixtures": measure_mixtures,
    "estimate": measure_estimate,
}
"""In the order in which they are measured."""


def header_of(pipeline: Any, model: str, paths: list[Path]) -> dict[str, Any]:
    """What all rows share: protocol, model and pictures."""
    folder = folder_of(MODELS.get(model)) if model in MODELS else Path(model)
    weights = folder / "regressor" / "diffusion_pytorch_model.safetensors"
    return {
        "protocol": "uint8",
        "model": {
            "name": folder.name,
            "architecture": type(pipeline.regressor).__name__,
            "parameters": sum(parameter.numel() for parameter in pipeline.regressor.parameters()),
            "file_bytes": weights.stat().st_size,
            "file_sha256": hash_of_file(weights),
        },
        "pictures": {path.name: hash_of_file(path)[:16] for path in paths},
        "environment": {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "packages": {name: version(name) for name in RECORDED_PACKAGES},
        },
    }


def open_bench(arguments: argparse.Namespace) -> Bench:
    """Load the model and the rows that are stored."""
    paths = list_pictures([arguments.folder])[: arguments.quick]
    pipeline = load_restorer(arguments.model, device=arguments.device)
    pipeline.set_progress_bar_config(disable=True)
    name = "quick_measurements.json" if arguments.quick else "measurements.json"
    header = header_of(pipeline, arguments.model, paths)
    return Bench(
        pipeline=pipeline,
        model=arguments.model,
        device=arguments.device,
        paths=paths,
        real=arguments.real,
        file=MeasurementFile(arguments.out / name, header, may_drop=arguments.fresh),
        quick=arguments.quick,
    )


def main() -> None:
    """Parse the command line, measure what is not stored, print the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="clean pictures, e.g. Kodak24")
    parser.add_argument("--real", type=Path, help=f"folder with {', '.join(REAL_SETS)}, each with lq and gt")
    parser.add_argument("--model", default="default", help="name, or local folder")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="folder of measurements.json")
    parser.add_argument("--quick", type=int, metavar="N", help="only the first N pictures of each set")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to measure")
    parser.add_argument("--fresh", action="store_true", help="measure these sections anew")
    arguments = parser.parse_args()
    try:
        bench = open_bench(arguments)
    except ValueError as error:
        sys.exit(str(error))
    for section in [section for section in SECTIONS if section in arguments.only]:
        if arguments.fresh:
            bench.file.forget(section)
        SECTIONS[section](bench)
    print(table_of_verdicts(judge(bench.file.document())))


if __name__ == "__main__":
    main()
