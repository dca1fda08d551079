"""`ldrestore explain` for models of the stable track."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ldrestore.cli.findings import Finding, look_at_all
from ldrestore.cli.jobs import Job, Plan
from ldrestore.errors import InputError

if TYPE_CHECKING:
    from ldrestore.explanations.prompt_maps import PictureView

STABLE_PIPELINE = "StableRestorePipeline"
"""Name of the class, which need not be imported to tell."""

DegradationOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[=W],..",
        help="What is wrong with the picture, in place of a prediction: a name, or weights that sum to 1, such as "
        "rain=0.7,haze=0.3; for models of the stable track.",
    ),
]

StepsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Steps of the sampling, 50 if not given; for models of the stable track."),
]

SeedOption = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Of the sampling, 0 if not given; for models of the stable track."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingWords:
    """Options that are about the sampling, as far as they were given."""

    degradation: str | None
    steps: int | None
    seed: int | None

    def given(self) -> dict[str, Any]:
        """Those that were given, by their names on the command line."""
        named = {"--degradation": self.degradation, "--steps": self.steps, "--seed": self.seed}
        return {name: value for name, value in named.items() if value is not None}

    def check(self, pipeline: Any, *, is_folder: bool) -> None:
        """Refuse them where nothing is sampled.

        Args:
            pipeline: The model.
            is_folder: Whether all pictures of a folder are looked at.

        Raises:
            InputError: one was given for a model of another track, or for a folder.
        """
        named = ", ".join(self.given())
        if named and type(pipeline).__name__ != STABLE_PIPELINE:
            raise InputError(
                f"{named}: for models of the stable track, and this one is a {type(pipeline).__name__}; leave it out"
            )
        if named and is_folder:
            raise InputError(f"{named}: of a folder nothing is restored; name one picture, or leave it out")


def check_unsteered(*, instruction: str | None, embeddings: Path | None) -> None:
    """Refuse what steers models of the fast track.

    Args:
        instruction: As given with --instruction.
        embeddings: As given with --embeddings.

    Raises:
        InputError: one was given.
    """
    if instruction is not None or embeddings is not None:
        raise InputError(
            "--instruction and --embeddings: models of the stable track take none; say what is wrong with --degradation"
        )


def explain_stably(
    pipeline: Any, plan: Plan, *, gt: Path | None, words: SamplingWords, is_folder: bool, is_quiet: bool
) -> Finding:
    """One picture, restored and looked at on the way; or all pictures of a folder, of which none is restored.

    Args:
        pipeline: Of the stable track.
        plan: The pictures.
        gt: What the one picture should look like.
        words: How it is sampled.
        is_folder: Whether the plan is that of a folder.
        is_quiet: Whether no progress is shown.

    Raises:
        InputError: an option out of range, an unknown degradation, a ground truth of another size, or no pictures.
        ImageFileError: the one picture cannot be read.
        MissingExtraError: the package that lays out points is not installed.
        Exit: no picture of a folder could be looked at; each has been named with its reason.
    """
    from ldrestore.explanations.prompt_maps import check_prompt_maps

    check_prompt_maps()
    if is_folder:
        return _explain_folder(pipeline, plan, is_quiet=is_quiet)
    return _explain_picture(pipeline, plan.jobs[0], gt=gt, words=words)


def _explain_picture(pipeline: Any, job: Job, *, gt: Path | None, words: SamplingWords) -> Finding:
    """One picture: restored, and looked at on the way.

    Raises:
        InputError: an option out of range, an unknown degradation, or a ground truth of another size.
        ImageFileError: a picture cannot be read.
    """
    from ldrestore.explanations.stable_explanation import explain_stable
    from ldrestore.explanations.stable_figures import figures_of_stable
    from ldrestore.explanations.stable_pages import document_of_stable, page_of_stable
    from ldrestore.images.files import read_photo

    options: dict[str, Any] = {"degradations": words.degradation, "seed": words.seed}
    if words.steps is not None:
        options["num_inference_steps"] = words.steps
    found = explain_stable(pipeline, read_photo(job.source), gt=gt, **options)
    return Finding(
        document=document_of_stable(found, name=job.name),
        page=page_of_stable(found, name=job.name),
        figures=figures_of_stable(found),
    )


def _explain_folder(pipeline: Any, plan: Plan, *, is_quiet: bool) -> Finding:
    """All pictures of a folder: what the model sees and says, and nothing is restored.

    Raises:
        InputError: there are no pictures.
        Exit: no picture could be looked at; each has been named with its reason.
    """
    from ldrestore.explanations.prompt_maps import view_picture
    from ldrestore.explanations.stable_explanation import report_stable
    from ldrestore.explanations.stable_figures import figures_of_stable_report
    from ldrestore.explanations.stable_pages import document_of_stable_report, page_of_stable_report
    from ldrestore.images.files import read_photo

    views: dict[str, PictureView] = {}

    def look_at(job: Job) -> None:
        views[job.name] = view_picture(pipeline, read_photo(job.source))

    failed = look_at_all(plan, look_at, is_quiet=is_quiet)
    report = report_stable(pipeline, views)
    return Finding(
        document=document_of_stable_report(report),
        page=page_of_stable_report(report),
        figures=figures_of_stable_report(report),
        failed=failed,
    )
