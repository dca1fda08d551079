"""What the headers of planned pictures tell of their results: which of them no file of the wanted format can hold."""

from dataclasses import replace

from ldrestore.errors import ImageFileError, ImageWriteError, MissingExtraError
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.jobs.plan import Plan


def within_limits(plan: Plan, *, scale: int = 1) -> Plan:
    """A plan whose pictures fit the formats of their results; the others have failed before anything is computed.

    Only headers are read, and only where the format has a limit. What cannot be read fails later, by its own reason.

    Args:
        plan: As it was made.
        scale: How many times each side is enlarged.
    """
    refused = {job: outcome for job in plan.jobs if (outcome := _refusal(job, scale)) is not None}
    if not refused:
        return plan
    jobs = tuple(job for job in plan.jobs if job not in refused)
    return replace(plan, jobs=jobs, settled=(*plan.settled, *refused.values()))


def _refusal(job: Job, scale: int) -> Outcome | None:
    """Why the result of a job cannot be written; None where it can, as far as its header tells."""
    from ldrestore.images.encoding import check_target
    from ldrestore.images.formats import LIMITED_FORMATS, SUFFIX_FORMATS
    from ldrestore.images.headers import read_size

    if SUFFIX_FORMATS.get(job.target.suffix.lower()) not in LIMITED_FORMATS:
        return None
    try:
        width, height = read_size(job.source)
        check_target(job.target, height=height * scale, width=width * scale, has_alpha=False)
    except ImageWriteError as error:
        return Outcome(job=job, status=Status.FAILED, reason=str(error), error=type(error).__name__)
    except (ImageFileError, MissingExtraError):
        return None
    return None
