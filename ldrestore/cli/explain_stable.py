"""`ldrestore explain` for models of the stable track."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldrestore.cli.findings import Finding, look_at_all
from ldrestore.cli.jobs import Job, Plan

if TYPE_CHECKING:
    from ldrestore.explanations.prompt_maps import PictureView

STABLE_PIPELINE = "StableRestorePipeline"
"""Name of the class, which need not be imported to tell."""


def explain_stably(
    pipeline: Any, plan: Plan, *, gt: Path | None, options: dict[str, Any], is_folder: bool, is_quiet: bool
) -> Finding:
    """One picture, restored and looked at on the way; or all pictures of a folder, of which none is restored.

    Args:
        pipeline: Of the stable track.
        plan: The pictures.
        gt: What the one picture should look like.
        options: Of the pipeline's call, as far as they are given.
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
    return _explain_picture(pipeline, plan.jobs[0], gt=gt, options=options)


def _explain_picture(pipeline: Any, job: Job, *, gt: Path | None, options: dict[str, Any]) -> Finding:
    """One picture: restored, and looked at on the way.

    Raises:
        InputError: an option out of range, an unknown degradation, or a ground truth of another size.
        ImageFileError: a picture cannot be read.
    """
    from ldrestore.explanations.stable_explanation import explain_stable
    from ldrestore.explanations.stable_figures import figures_of_stable
    from ldrestore.explanations.stable_pages import document_of_stable, page_of_stable
    from ldrestore.images.files import read_photo

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
