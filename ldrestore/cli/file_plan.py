"""The plan of one call that reads and writes pictures: what goes where, without what cannot be."""

from collections.abc import Sequence

from ldrestore.cli.call_start import call_start
from ldrestore.jobs.limits import within_limits
from ldrestore.jobs.plan import PictureFormat, Plan, plan_jobs


def plan_call(
    sources: Sequence[str],
    target: str,
    *,
    picture_format: PictureFormat | None,
    is_recursive: bool,
    may_overwrite: bool,
    max_pixels: int | None,
    scale: int = 1,
) -> Plan:
    """Map inputs to their targets, look at their headers, and leave out what another call has written meanwhile.

    Args:
        sources: See `plan_jobs`, as the next four.
        target: A file or a folder.
        picture_format: Of all results.
        is_recursive: Whether sub-folders are looked into.
        may_overwrite: Whether existing targets are written again.
        max_pixels: See `within_limits`.
        scale: How many times each side is enlarged.

    Raises:
        LDRestoreError: as `plan_jobs`.
    """
    plan = plan_jobs(
        sources,
        target,
        picture_format=picture_format,
        is_recursive=is_recursive,
        may_overwrite=may_overwrite,
        since=call_start(),
    )
    return within_limits(plan, scale=scale, max_pixels=max_pixels)
