"""Train, put together and measure all rows of UniLDiff's ablations upon one base, with several seeds.

    python scripts/run_xl_ablations.py scripts/xl_ablations.yaml --base runs/xl/tiny_unet_cpu/export \
        --pictures data/train --data-root data/val --out runs/xl/study
    python scripts/run_xl_ablations.py scripts/xl_ablations.yaml ... --out runs/xl/study --keep   # table into the docs

It goes on where it stopped. All seeds of stage 1 come before those of stage 2, and after each seed all that is there is
measured, so that a study that is broken off has a table. SIGTERM or Ctrl-C stop a run after its step; the same
command goes on from there. `--keep` writes docs/xl/ablations.md and the figures that it is made of, without single
pictures.
"""

import argparse
import logging
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ldrestore.checkpoints.whole_folder import whole_folder
from ldrestore.config import load_config
from ldrestore.errors import ConfigError, LDRestoreError
from ldrestore.evaluation.results import read_results, write_results
from ldrestore.evaluation.studies.study import StudyCall, run_study
from ldrestore.evaluation.studies.xl_ablations import report_xl_ablations
from ldrestore.evaluation.summaries import condensed
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.training.trainers import train_by_config

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path("docs/xl/ablations.md")
STUDY = "xl-ablations"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRow:
    """A run of each seed."""

    name: str
    """Its models are called NAME-SEED."""
    config: Path
    """Of the run, within the checkout."""
    overrides: tuple[str, ...] = ()
    """Beside the shared ones; $OUT and $SEED are filled in."""
    upon: str | None = None
    """The row of stage 1 that this run of stage 2 decodes; None for a run of stage 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationStudyConfig:
    """The whole study."""

    rows: tuple[TrainedRow, ...]
    """In the order of training."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the runs."""
    shared: tuple[str, ...] = ()
    """Overrides of all runs."""
    study: tuple[str, ...] = ()
    """Options of the study that measures, as `--with` takes them."""
    limit: int | None = None
    """The most pictures of each task."""

    def __post_init__(self) -> None:
        """Check that what a row stands upon comes before it."""
        names: set[str] = set()
        for row in self.rows:
            if row.upon is not None and row.upon not in names:
                raise ConfigError(f"{row.name} is trained upon {row.upon}, which is no row before it")
            names.add(row.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where everything is."""

    base: Path
    """The prior's export."""
    pictures: Path
    """Clean ones, for training."""
    out: Path
    """Runs, models and figures."""

    def run(self, name: str, seed: int) -> Path:
        """The folder of a run."""
        return self.out / "runs" / f"{name}-{seed}"

    def model(self, name: str, seed: int) -> Path:
        """The folder of a model."""
        return self.out / "models" / f"{name}-{seed}"


def overrides_of(row: TrainedRow, seed: int, config: AblationStudyConfig, places: Places) -> list[str]:
    """What a run's config is changed by, the last one counts."""
    filled = [
        word.replace("$OUT", str(places.out)).replace("$SEED", str(seed)) for word in (*config.shared, *row.overrides)
    ]
    upon = [] if row.upon is None else [f"restorer={places.run(row.upon, seed) / 'export'}"]
    return [
        f"run.output_dir={places.run(row.name, seed)}",
        f"run.seed={seed}",
        f"base.path={places.base}",
        f"data.folders=[{places.pictures}]",
        *upon,
        *filled,
    ]


def make_model(row: TrainedRow, seed: int, config: AblationStudyConfig, places: Places) -> bool:
    """Train a row and put it together, unless its model is there.

    Returns:
        Whether it is there now; False where a signal stopped the run.
    """
    target = places.model(row.name, seed)
    if target.is_dir():
        return True
    if not train_by_config(ROOT / row.config, overrides=overrides_of(row, seed, config, places), resume="auto"):
        return False
    exports = [places.run(name, seed) / "export" for name in (row.upon, row.name) if name is not None]
    with without_progress_bar(), whole_folder(target) as folder:
        XLRestorePipeline.from_exports(places.base, *exports, local_files_only=True).save_pretrained(folder)
    return True


def run_ablations(config: AblationStudyConfig, places: Places, *, data_root: Path | None) -> bool:
    """The whole study.

    Returns:
        Whether it is finished; False where a signal stopped it.
    """
    models: list[str] = []
    for is_upon, seed in product((False, True), config.seeds):
        rows = [row for row in config.rows if (row.upon is not None) == is_upon]
        for row in rows:
            if not make_model(row, seed, config, places):
                return False
            print(f"{row.name}, seed {seed}", flush=True)
        models += [str(places.model(row.name, seed)) for row in rows]
        if not rows:
            continue
        call = StudyCall(
            out_dir=places.out / "figures",
            models=tuple(models),
            data_root=data_root,
            limit=config.limit,
            say=lambda message: print(message, flush=True),
        )
        print(run_study(STUDY, config.study, call), flush=True)
    return True


def keep(places: Places, root: Path) -> Path:
    """Write the table and its figures, without single pictures, into a checkout; gives the table's path."""
    results = condensed(read_results(places.out / "figures"))
    (root / TABLE).parent.mkdir(parents=True, exist_ok=True)
    write_results(results, root / TABLE.with_suffix(".json"))
    (root / TABLE).write_text(report_xl_ablations(results), encoding="utf-8")
    return root / TABLE


def main() -> None:
    """Parse the command line and go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="such as scripts/xl_ablations.yaml")
    parser.add_argument("--base", type=Path, required=True, help="what the prior's run exported")
    parser.add_argument("--pictures", type=Path, required=True, help="clean pictures for training, not measured ones")
    parser.add_argument("--data-root", type=Path, help="the folder that kodak24 lies in")
    parser.add_argument("--out", type=Path, required=True, help="runs, models and figures; goes on with what is there")
    parser.add_argument("--keep", action="store_true", help="write the table and its figures into the docs")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    places = Places(base=arguments.base, pictures=arguments.pictures, out=arguments.out)
    try:
        config = load_config(AblationStudyConfig, arguments.config)
        if not run_ablations(config, places, data_root=arguments.data_root):
            sys.exit("stopped; the same command goes on")
        if arguments.keep:
            print(keep(places, ROOT))
    except LDRestoreError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
