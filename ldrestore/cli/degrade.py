"""`ldrestore degrade`: make damaged pictures from clean ones."""

import hashlib
from typing import TYPE_CHECKING, Annotated

import typer

from ldrestore.cli.batch import Work, make_parent, planned, report, run_plan
from ldrestore.cli.jobs import Job, plan_jobs
from ldrestore.cli.options import (
    DryRunOption,
    FormatOption,
    InArgument,
    JsonOption,
    OutArgument,
    OverwriteOption,
    QualityOption,
    QuietOption,
    RecursiveOption,
)

if TYPE_CHECKING:
    from ldrestore.images.photo import Photo

DEGRADE_EXAMPLES = """\b
Examples:
  ldrestore degrade clean.png rainy.png --recipe "rain+jpeg(quality=30)" --seed 1
  ldrestore degrade clean/ dark/ --recipe low_light --severity 0.8 --recursive
  ldrestore degrade clean/ noisy/ --recipe "gaussian_noise(sigma_255=25)" --format png
"""
"""Shown below the help; the first character keeps the lines as they are."""


def degrade_command(  # each parameter is an option
    source: InArgument,
    target: OutArgument,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="RECIPE",
            help="What to apply, e.g. `rain+jpeg(quality=30)`, or a mixture by name, e.g. `cdd11/low_haze`.",
        ),
    ],
    severity: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, metavar="S", help="0 is hardly visible, 1 severe; for steps that set nothing else."
        ),
    ] = 0.5,
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Start of the random numbers; each picture draws its own from it and its pixels."
        ),
    ] = 0,
    picture_format: FormatOption = None,
    quality: QualityOption = 95,
    recursive: RecursiveOption = False,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Damage clean pictures, in a way that can be repeated.

    IN and OUT are two files, a file and a folder, or two folders. The same picture with the same recipe, severity and
    seed gives the same pixels, whatever lies beside it. Transparency and bit depth stay.
    """
    work = _degrading(recipe, severity=severity, seed=seed, quality=quality, may_overwrite=overwrite)
    plan = plan_jobs(source, target, picture_format=picture_format, is_recursive=recursive, may_overwrite=overwrite)
    outcomes = planned(plan) if dry_run else run_plan(plan, work, label="degrading", is_quiet=quiet)
    raise typer.Exit(report(outcomes, plan, command="degrade", as_json=as_json, is_quiet=quiet))


def seed_for(photo: "Photo", seed: int) -> int:
    """Seed of one picture, from the run's seed and its pixels: neither name nor neighbours change it; in [0, 2^63)."""
    digest = hashlib.sha256(f"{seed} {photo.pixels.shape} {photo.pixels.dtype.name} ".encode())
    digest.update(photo.pixels.tobytes())
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def _degrading(recipe: str, *, severity: float, seed: int, quality: int, may_overwrite: bool) -> Work:
    """The work on one picture: read, degrade, write.

    Raises:
        InputError: the recipe cannot be read.
    """
    from ldrestore.degradations.degrade import degrade
    from ldrestore.degradations.recipes import parse_recipe
    from ldrestore.images.files import read_photo, write_photo

    parse_recipe(recipe)

    def degrade_job(job: Job) -> None:
        photo = read_photo(job.source)
        make_parent(job.target)
        degraded = degrade(photo, recipe, seed=seed_for(photo, seed), severity=severity)
        write_photo(degraded, job.target, quality=quality, overwrite=may_overwrite)

    return degrade_job
