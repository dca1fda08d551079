"""`ldrestore degrade`: make damaged pictures from clean ones."""

import hashlib
from typing import TYPE_CHECKING, Annotated

import typer

from ldrestore.cli.completion import complete_recipes
from ldrestore.cli.file_plan import plan_call
from ldrestore.cli.rendering import show_plan, show_report, show_run
from ldrestore.cli.shared_options import (
    ClipOption,
    DryRunOption,
    FormatOption,
    InsArgument,
    JsonOption,
    MaxPixelsOption,
    OutArgument,
    OverwriteOption,
    QualityOption,
    QuietOption,
    RecursiveOption,
    VerboseOption,
    refuse_nan,
)
from ldrestore.jobs.claims import claiming
from ldrestore.jobs.outcome import Job, Result
from ldrestore.jobs.plan import Plan
from ldrestore.jobs.report import RunReport
from ldrestore.jobs.runner import Work

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
    sources: InsArgument,
    target: OutArgument,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="RECIPE",
            help="What to apply, e.g. `rain+jpeg(quality=30)`, or a mixture by name, e.g. `cdd11/low_haze`.",
            autocompletion=complete_recipes,
        ),
    ],
    severity: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            callback=refuse_nan,
            metavar="S",
            help="0 is hardly visible, 1 severe; for steps that set nothing else.",
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
    max_pixels: MaxPixelsOption = None,
    clip: ClipOption = False,
    recursive: RecursiveOption = False,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
) -> None:
    """Damage clean pictures, in a way that can be repeated.

    IN and OUT are two files, files and a folder, or folders. The same picture with the same recipe, severity and
    seed gives the same pixels, whatever lies beside it. Transparency and bit depth stay.
    """
    work = _degrading(
        recipe,
        severity=severity,
        seed=seed,
        quality=quality,
        max_pixels=max_pixels,
        clip=clip,
        may_overwrite=overwrite,
    )
    plan = plan_call(
        sources,
        target,
        picture_format=picture_format,
        is_recursive=recursive,
        may_overwrite=overwrite,
        max_pixels=max_pixels,
    )
    report = _degraded(plan, work, is_dry=dry_run, is_quiet=quiet, is_verbose=verbose)
    raise typer.Exit(show_report(report, as_json=as_json, is_quiet=quiet, is_verbose=verbose))


def _degraded(plan: Plan, work: Work, *, is_dry: bool, is_quiet: bool, is_verbose: bool) -> RunReport:
    """What became of all pictures, or would."""
    if is_dry:
        return show_plan(plan, command="degrade")
    return show_run(plan, work, command="degrade", label="degrading", is_quiet=is_quiet, is_verbose=is_verbose)


def seed_for(photo: "Photo", seed: int) -> int:
    """Seed of one picture, from the run's seed and its visible pixels, in [0, 2^63); not from name or neighbours."""
    from ldrestore.images.transparency import fill_hidden

    pixels = fill_hidden(photo).pixels
    digest = hashlib.sha256(f"{seed} {pixels.shape} {pixels.dtype.name} ".encode())
    digest.update(pixels.tobytes())
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def _degrading(
    recipe: str,
    *,
    severity: float,
    seed: int,
    quality: int,
    max_pixels: int | None,
    clip: bool,
    may_overwrite: bool,
) -> Work:
    """The work on one picture, unless another call does it: read, degrade, write.

    Raises:
        InputError: the recipe cannot be read.
    """
    from ldrestore.degradations.degrade import degrade
    from ldrestore.degradations.recipes import parse_recipe
    from ldrestore.images.encoding import check_target
    from ldrestore.images.files import read_photo, write_photo

    parse_recipe(recipe)

    def degrade_job(job: Job) -> Result:
        photo = read_photo(job.source, max_pixels=max_pixels, clip=clip)
        check_target(job.target, height=photo.height, width=photo.width, has_alpha=photo.alpha is not None)
        degraded = degrade(photo, recipe, seed=seed_for(photo, seed), severity=severity)
        write_photo(degraded, job.target, quality=quality, overwrite=may_overwrite)
        return Result()

    return claiming(degrade_job, may_overwrite=may_overwrite)
