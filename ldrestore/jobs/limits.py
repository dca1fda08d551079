"""What the headers of planned pictures tell: which are too large to be read, or fit no file of the wanted format."""

from dataclasses import replace

from ldrestore.errors import ImageFileError, ImageTooLargeError, ImageWriteError, MissingExtraError
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.jobs.plan import Plan


def within_limits(plan: Plan, *, scale: int = 1, max_pixels: int | None = None) -> Plan:
    """A plan whose pictures are small enough to be read, and fit the formats of their results.

    The others have failed before anything is computed. Only headers are read; what these do not tell, and what cannot
    be read at all, fails later, by its own reason.

    Args:
        plan: As it was made.
        scale: How many times each side is enlarged.
        max_pixels: The most pixels that are read of a picture; None for the default of `images.files`.
    """
    refused = {job: outcome for job in plan.jobs if (outcome := _refusal(job, scale, max_pixels)) is not None}
    if not refused:
        return plan
    jobs = tuple(job for job in plan.jobs if job not in refused)
    return replace(plan, jobs=jobs, settled=(*plan.settled, *refused.values()))


def _refusal(job: Job, scale: int, max_pixels: int | None) -> Outcome | None:
    """Why a picture cannot be read, or its result be written; None where both can, as far as its header tells."""
    from ldrestore.images.encoding import check_target
    from ldrestore.images.files import DEFAULT_MAX_PIXELS
    from ldrestore.images.headers import read_header
    from ldrestore.images.photo_making import size_check

    try:
        header = read_header(job.source)
    except (ImageFileError, MissingExtraError):
        return None
    try:
        size_check(job.source, max_pixels=DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels)(
            header.width, header.height
        )
        check_target(job.target, height=header.height * scale, width=header.width * scale, has_alpha=header.has_alpha)
    except (ImageTooLargeError, ImageWriteError) as error:
        return Outcome(job=job, status=Status.FAILED, reason=str(error), error=type(error).__name__)
    except ImageFileError:
        return None
    return None
