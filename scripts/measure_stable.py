"""Measure a model of the stable track: the autoencoder's ceiling, predictor, restoration, prior, DRM and solvers.

    python scripts/measure_stable.py ldrestore-tiny-stable --val PICTURES --out docs/stable/measurements.json

writes the JSON picture by picture and, at the end, the tables beside it (.md). Interrupted, it goes on where it
stopped, and a larger `--num-pictures` adds pictures to what is there. `--only` names sections; "prior" is held
against "restoration", which tells what the DRM adds, too. "solvers" is held against the model's own scheduler in 50
steps: with `--steps 50` that is "restoration" without the DRM, otherwise it is sampled for that section. `--fresh`
measures the named sections anew, and drops all rows of other weights, pictures or settings, which it otherwise refuses
to do; each row knows the command, device, CPU threads and packages that it was computed with, and is only added to with
the same device, threads and packages.

Protocol "uint8": the square at the centre of a clean 8-bit picture is degraded, clipped and rounded to 8 bits, restored
without being told what is wrong, rounded to 8 bits; PSNR over all RGB pixels of a picture with a data range of 255.
The degradation's draws depend on file name and recipe alone, those of the sampling on seed and pixels. One sample is
drawn a picture, and decoded without the DRM and with it. Needs the extra `metrics` (ST-LPIPS).
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from measured_rows import (
    DIGITS,
    FOLDER,
    WRONG_INPUT,
    check_settings,
    command_of,
    environment_of,
    extend_row,
    header_of,
    known_row,
)
from measurement_file import MeasurementFile, Row, extended
from measurement_tables import table_of_verdicts
from stable_bounds import judge_stable
from stable_exports import Sampling, decoded
from stable_tables import stable_report

from ldrestore.datasets.compared_pairs import CLEAN_RECIPE, SEVERITY, Pair, synthetic_pairs
from ldrestore.datasets.pictures import list_pictures
from ldrestore.metrics.psnr import MEAN_CAP, psnr
from ldrestore.metrics.st_lpips import ShiftTolerantDistance
from ldrestore.pipelines.sampled_records import describe_pipeline
from ldrestore.restorers import load_restorer
from ldrestore.sampling.denoising import prediction_type_of
from ldrestore.structures import MPERCEIVER_SET
from ldrestore.systems.mperceiver import MPerceiver
from ldrestore.systems.sampled_pictures import lq_of

SEVERITIES = (0.4, 0.7, 1.0)
"""At which the predictor is tested."""
SOLVER_STEPS = 15
"""Of DPM-Solver++."""
OWN_STEPS = 50
"""Of the model's own scheduler, which that is held against."""
SETTINGS = ("crop", "severity", "steps", "seed")
"""Options that all rows share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What is measured, on what, and where the rows go."""

    pipeline: Any
    """A `StableRestorePipeline`."""
    paths: list[Path]
    """Clean pictures."""
    file: MeasurementFile
    """The rows."""
    crop: int
    """Side in pixels of the square at the centre."""
    severity: float
    """Of what is restored."""
    steps: int
    """Of the model's own scheduler."""
    seed: int
    """Of the sampling."""
    command: str
    """That measures; each row tells its own."""
    degradations: Sequence[str] = MPERCEIVER_SET
    """Those that are measured."""
    device: str = "cpu"
    """Where the perceptual distance is computed."""
    known_pairs: dict[tuple[str, str], Pair] = field(default_factory=dict)
    """Pairs by file and recipe, made once for all sections."""

    @property
    def same(self) -> dict[str, Any]:
        """What a stored row must share with this bench, beside the header."""
        return {"environment": environment_of(str(self.pipeline._execution_device))}

    @property
    def kept(self) -> dict[str, Any]:
        """What a row holds beside the values of its pictures."""
        return {**self.same, "command": self.command}

    def pair(self, path: Path, recipe: str) -> Pair:
        """A picture, and itself degraded; with the recipe "clean" twice itself."""
        key = (path.name, recipe)
        if key not in self.known_pairs:
            self.known_pairs[key] = next(synthetic_pairs([path], recipe, crop=self.crop))
        return self.known_pairs[key]

    def restore(self, lq: np.ndarray, **options: Any) -> np.ndarray:
        """A picture restored, (H, W, 3) uint8, without tiles.

        Args:
            lq: (H, W, 3) uint8.
            options: Of the pipeline's call, beside seed and tiles.
        """
        return self.pipeline(lq, seed=self.seed, tile="off", output_type="photo", **options).photos[0].pixels

    def restore_both(self, lq: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One sample, decoded without and with the DRM; the same twice for a model that has none.

        Args:
            lq: (H, W, 3) uint8.
        """
        pictures = decoded(self.pipeline, lq, Sampling(steps=self.steps, seed=self.seed))
        return pictures["plain"], pictures.get("refined", pictures["plain"])


def recipe_of(degradation: str, severity: float) -> str:
    """A degradation at a severity."""
    return f"{degradation}(severity={severity:g})"


def measure_ceiling(bench: Bench) -> None:
    """One row: clean pictures through the autoencoder alone."""

    def round_trip(pair: Pair) -> dict[str, float]:
        return {"psnr": psnr(bench.restore(pair.lq, strength=0.0, refine=False), pair.gt, cap=MEAN_CAP)}

    measure_recipe(bench, "ceiling", "round_trip", recipe=CLEAN_RECIPE, measure=round_trip)


def measure_predictor(bench: Bench) -> None:
    """One row a degradation: how often its name is the surest one, and which one is, at each severity."""
    for degradation in bench.degradations:
        old, paths = known_and_missing(bench, "predictor", degradation)
        for path in paths:
            pairs = {severity: bench.pair(path, recipe_of(degradation, severity)) for severity in SEVERITIES}
            named = {f"{severity:g}": surest_name(bench.pipeline, pair.lq) for severity, pair in pairs.items()}
            share = sum(name == degradation for name in named.values()) / len(named)
            row = {**extended(old, path.name, {"top1": share}, digits=DIGITS), **bench.kept}
            seen = old["predicted"] if old else {severity: [] for severity in named}
            row["predicted"] = {severity: [*seen[severity], name] for severity, name in named.items()}
            bench.file.add("predictor", degradation, row)
            old = row
            print("predictor", degradation, path.name, named, flush=True)


def surest_name(pipeline: Any, lq: np.ndarray) -> str:
    """The degradation that the predictor finds most probable.

    Args:
        pipeline: Has the predictor and CLIP's tower.
        lq: (H, W, 3) uint8.
    """
    picture = lq_of(lq, multiple=1, device=pipeline._execution_device)
    system = MPerceiver(pipeline.components, attachment=None)
    return pipeline.predictor.names[int(system.probabilities(system.embed(picture)).argmax())]


def measure_restoration(bench: Bench) -> None:
    """One row a degradation: degraded, restored without the DRM, and restored."""
    distance = ShiftTolerantDistance(bench.device)

    def restore(pair: Pair) -> dict[str, float]:
        pictures = {"input": pair.lq, **dict(zip(("plain", "restored"), bench.restore_both(pair.lq), strict=True))}
        distances = distance(list(pictures.values()), pair.gt)
        return {
            **{f"{name}_psnr": psnr(picture, pair.gt, cap=MEAN_CAP) for name, picture in pictures.items()},
            **{f"{name}_stlpips": value for name, value in zip(pictures, distances, strict=True)},
        }

    measure_degradations(bench, "restoration", restore)


def measure_prior(bench: Bench) -> None:
    """One row a degradation: the degraded picture's own latents in place of sampled ones, decoded with the same DRM."""

    def restore(pair: Pair) -> dict[str, float]:
        return {"unsampled_psnr": psnr(bench.restore(pair.lq, strength=0.0), pair.gt, cap=MEAN_CAP)}

    measure_degradations(bench, "prior", restore)


def measure_solvers(bench: Bench) -> None:
    """One row a degradation: DPM-Solver++ in few steps, without the DRM; and what it is held against.

    That is the model's own scheduler in 50 steps, which "restoration" has already where it takes so many.
    """

    def restore(pair: Pair) -> dict[str, float]:
        with dpm_solver(bench.pipeline):
            restored = bench.restore(pair.lq, num_inference_steps=SOLVER_STEPS, refine=False)
        values = {"solver_psnr": psnr(restored, pair.gt, cap=MEAN_CAP)}
        if bench.steps == OWN_STEPS:
            return values
        own = bench.restore(pair.lq, num_inference_steps=OWN_STEPS, refine=False)
        return values | {"own_psnr": psnr(own, pair.gt, cap=MEAN_CAP)}

    measure_degradations(bench, "solvers", restore)


@contextmanager
def dpm_solver(pipeline: Any) -> Iterator[None]:
    """Let the pipeline sample with DPM-Solver++ on its own scheduler's schedule, inside."""
    own = pipeline.scheduler
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(own.config)
    try:
        yield
    finally:
        pipeline.scheduler = own


def measure_clean(bench: Bench) -> None:
    """One row: clean pictures are to come back as they are."""

    def restore(pair: Pair) -> dict[str, float]:
        plain, restored = bench.restore_both(pair.lq)
        return {
            "plain_psnr": psnr(plain, pair.gt, cap=MEAN_CAP),
            "restored_psnr": psnr(restored, pair.gt, cap=MEAN_CAP),
        }

    measure_recipe(bench, "clean", CLEAN_RECIPE, recipe=CLEAN_RECIPE, measure=restore)


def measure_degradations(bench: Bench, section: str, measure: Callable[[Pair], dict[str, float]]) -> None:
    """One row a degradation, at the bench's severity."""
    for degradation in bench.degradations:
        recipe = recipe_of(degradation, bench.severity)
        measure_recipe(bench, section, degradation, recipe=recipe, measure=measure)


def measure_recipe(
    bench: Bench, section: str, name: str, *, recipe: str, measure: Callable[[Pair], dict[str, float]]
) -> None:
    """One row, over the bench's pictures."""
    row, paths = known_and_missing(bench, section, name)
    pairs = (bench.pair(path, recipe) for path in paths)
    extend_row(bench.file, section, name, row=row, pairs=pairs, measure=measure, kept=bench.kept)


def known_and_missing(bench: Bench, section: str, name: str) -> tuple[Row | None, list[Path]]:
    """A row and the pictures that it lacks; None and all of them for one that is to be measured anew."""
    row = known_row(bench.file, section, name, same=bench.same)
    return row, [path for path in bench.paths if row is None or path.name not in row["names"]]


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "ceiling": measure_ceiling,
    "predictor": measure_predictor,
    "restoration": measure_restoration,
    "prior": measure_prior,
    "solvers": measure_solvers,
    "clean": measure_clean,
}
"""In the order in which they are measured."""


def described_model(pipeline: Any) -> dict[str, Any]:
    """What the header tells of a model."""
    described = describe_pipeline(pipeline)
    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    return {
        **{key: described[key] for key in ("name", "weights_sha256", "scheduler", "scheduler_sha256", "view")},
        "prediction_type": prediction_type_of(pipeline.scheduler),
        "dtype": str(pipeline.unet.dtype).removeprefix("torch."),
        "parts": {name: sum(value.numel() for value in part.parameters()) for name, part in networks.items()},
    }


def open_bench(arguments: argparse.Namespace) -> Bench:
    """Load the model and the rows that are stored.

    Raises:
        ValueError: the model is of another track, there are no pictures, or the rows are of others.
    """
    check_settings(arguments)
    paths = list_pictures([arguments.val])
    pipeline = load_restorer(arguments.model, device=arguments.device, dtype=arguments.dtype)
    if type(pipeline).__name__ != "StableRestorePipeline":
        raise ValueError(f"{arguments.model} is a {type(pipeline).__name__}; name a model of the stable track")
    pipeline.set_progress_bar_config(disable=True)
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    more = {"severities": list(SEVERITIES), "solver_steps": SOLVER_STEPS, "own_steps": OWN_STEPS}
    model = described_model(pipeline)
    header = header_of(paths, settings=settings | more, model=model)
    return Bench(
        pipeline=pipeline,
        paths=paths[: arguments.num_pictures],
        file=MeasurementFile(arguments.out, header, may_drop=arguments.fresh),
        command=command_line(arguments, name=model["name"]),
        degradations=arguments.degradations,
        device=str(pipeline._execution_device),
        **settings,
    )


def command_line(arguments: argparse.Namespace, *, name: str) -> str:
    """The command that measures rows, model, folder and file by names.

    Args:
        arguments: Of the command line.
        name: Of the model.
    """
    is_whole = {"degradations": MPERCEIVER_SET, "only": SECTIONS}
    chosen = {key: given for key, all_ in is_whole.items() if set(given := getattr(arguments, key)) != set(all_)}
    names = ("num_pictures", *SETTINGS, "device", "dtype")
    options = {key: getattr(arguments, key) for key in names}
    return command_of("measure_stable", name, options={"val": FOLDER, "out": arguments.out.name, **options, **chosen})


def write_tables(file: MeasurementFile) -> None:
    """The tables beside the file of measurements."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.path.with_suffix(".md").write_text(stable_report(file.document()), encoding="utf-8")


def parse_arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line; None for the process's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name, or folder of StableRestorePipeline.save_pretrained")
    parser.add_argument("--val", type=Path, required=True, help="folder of clean pictures, e.g. Kodak24")
    parser.add_argument("--out", type=Path, required=True, help="the .json file; the tables are written beside it")
    parser.add_argument("--num-pictures", type=int, help="only the first so many pictures")
    parser.add_argument("--crop", type=int, default=256, help="side of the square at the centre, in pixels")
    parser.add_argument("--steps", type=int, default=50, help="of the restoration, by the model's own scheduler")
    parser.add_argument("--severity", type=float, default=SEVERITY, help="of what is restored")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling")
    parser.add_argument("--degradations", nargs="+", default=list(MPERCEIVER_SET), metavar="NAME")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to measure")
    parser.add_argument("--fresh", action="store_true", help="measure these sections anew")
    return parser.parse_args(given)


def main() -> None:
    """Parse the command line, measure what is not stored, write the tables, print the verdicts."""
    arguments = parse_arguments()
    try:
        bench = open_bench(arguments)
        for section in [section for section in SECTIONS if section in arguments.only]:
            if arguments.fresh:
                bench.file.forget(section)
            SECTIONS[section](bench)
    except WRONG_INPUT as error:
        sys.exit(str(error))
    write_tables(bench.file)
    print(table_of_verdicts(judge_stable(bench.file.document())))


if __name__ == "__main__":
    main()
