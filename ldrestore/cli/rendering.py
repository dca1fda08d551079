"""A run as a person sees it: a bar or nothing on the way, failures and advice as they come, the summary."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ldrestore.cli.console import PlainProgress, print_json, print_table, progress_bar, say
from ldrestore.errors import printable
from ldrestore.jobs.outcome import Job, Outcome, Status
from ldrestore.jobs.plan import Plan
from ldrestore.jobs.report import RunReport, report_of
from ldrestore.jobs.runner import Work, run_jobs

Run = Callable[[Sequence[Job]], Iterator[Outcome]]
"""Does jobs, and tells what became of each as soon as it is known."""
MOST_NAMED = 3
"""So many degradations of an estimate are named."""
LEAST_NAMED = 0.1
"""Probabilities below are not worth a word."""


def show_run(
    plan: Plan,
    work: Work | None,
    *,
    command: str,
    label: str,
    is_quiet: bool,
    is_verbose: bool = False,
    run: Run | None = None,
) -> RunReport:
    """Do all jobs of a plan, with a bar in a terminal or lines in a log, and name each failure when it happens.

    Args:
        plan: What to do.
        work: Does one job, in this process; None where `run` does them.
        command: Name of the command, for the report.
        label: What the bar says, e.g. "restoring".
        is_quiet: Whether only failures are named.
        is_verbose: Whether what the model saw is told of each picture.
        run: Does all jobs elsewhere.
    """
    is_alone = len(plan.jobs) == 1
    _show_settled(plan)
    outcomes = []
    if run is None:
        assert work is not None, "one of the two does the jobs"
        run = partial(run_jobs, work=work)
    is_shown = not is_quiet and not is_alone
    lines = PlainProgress(label, len(plan.jobs), is_shown=is_shown)
    with progress_bar(is_shown=is_shown) as bar:
        task = bar.add_task(label, total=len(plan.jobs))
        for outcome in run(plan.jobs):
            outcomes.append(outcome)
            show_outcome(outcome, is_quiet=is_quiet, tells_estimate=is_alone or is_verbose)
            bar.advance(task)
            lines.advance()
    return report_of(plan, outcomes, command=command)


def show_plan(plan: Plan, *, command: str) -> RunReport:
    """Name what cannot be done, and do nothing."""
    _show_settled(plan)
    return report_of(plan, (), command=command, is_dry=True)


def show_outcome(outcome: Outcome, *, is_quiet: bool, tells_estimate: bool) -> None:
    """One picture on standard error: why it failed, what the model saw, what it advises."""
    if outcome.status is Status.FAILED:
        say(f"failed: {outcome.reason}")
    for note in outcome.notes:
        say(f"warning: {note}")
    if is_quiet or outcome.status is not Status.DONE:
        return
    estimate = estimate_of(outcome)
    if tells_estimate and estimate:
        source = "the model went by what you said:" if was_said(outcome) else "the model saw"
        say(f"{outcome.job.name}: {source} {estimate}")
    for sentence in outcome.advice:
        say(f"{outcome.job.name}: {sentence}")


def estimate_of(outcome: Outcome) -> str:
    """What the model saw, the surest first; empty from models that estimate nothing."""
    degradations = (outcome.record or {}).get("degradations")
    if not isinstance(degradations, dict):
        return ""
    ranked = sorted(degradations.items(), key=lambda pair: -pair[1])[:MOST_NAMED]
    named = [f"{name} {probability:.2f}" for name, probability in ranked if probability >= LEAST_NAMED]
    return ", ".join(named) or "nothing wrong"


def was_said(outcome: Outcome) -> bool:
    """Whether the record tells, in place of an estimate, what the user said of the damage: diffusion goes by that."""
    record = outcome.record or {}
    options = record.get("options")
    weights = _without_zeros(options.get("degradations") if isinstance(options, dict) else None)
    return bool(weights) and _without_zeros(record.get("degradations")) == weights


def _without_zeros(values: object) -> dict[str, float]:
    """What of a record's numbers by name is not 0; nothing where there are none."""
    return {name: value for name, value in values.items() if value} if isinstance(values, dict) else {}


def show_report(report: RunReport, *, as_json: bool, is_quiet: bool, is_verbose: bool = False) -> int:
    """Print the summary, or the JSON document, and give the exit code.

    Args:
        report: What became of the inputs.
        as_json: Whether to print one JSON document instead of tables.
        is_quiet: Whether to print nothing where `as_json` is False.
        is_verbose: Whether files that were left alone are named.
    """
    if is_verbose:
        for one in report.ignored:
            say(f"ignored: {printable(one.path)}: {one.reason}")
    if as_json:
        print_json(report.document())
    elif not is_quiet:
        _print_tables(report)
    if not report.outcomes:
        hint = "; look into its sub-folders with --recursive" if report.ignored_folders else ""
        say(f"warning: no pictures found in IN{hint}")
    return report.exit_code


def _show_settled(plan: Plan) -> None:
    """Name what failed before it began."""
    for outcome in plan.settled:
        show_outcome(outcome, is_quiet=True, tells_estimate=False)


def _print_tables(report: RunReport) -> None:
    """The rows of a dry run, and how many pictures are in which state."""
    first = Status.PLANNED if report.count(Status.PLANNED) else Status.DONE
    if first is Status.PLANNED:
        rows = [
            (printable(one.job.name), printable(one.job.target_place), one.status.value, one.reason or "")
            for one in report.outcomes
        ]
        print_table(("input", "output", "status", "reason"), rows)
    states = [first, Status.SKIPPED, Status.FAILED, *([Status.CANCELLED] if report.count(Status.CANCELLED) else [])]
    counts = [str(report.count(status)) for status in states]
    print_table(
        (*(status.value for status in states), "ignored", "seconds"),
        [(*counts, str(len(report.ignored)), f"{report.seconds:.1f}")],
    )
