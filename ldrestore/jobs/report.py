"""What became of all pictures of a run."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ldrestore import __version__
from ldrestore.jobs.outcome import Ignored, Outcome, Status
from ldrestore.jobs.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """All outcomes of a run, in the order of the pictures' names."""

    command: str
    """What was run, e.g. "restore"."""
    outcomes: tuple[Outcome, ...]
    """One for each input."""
    ignored: tuple[Ignored, ...] = ()
    """Files of the input folders that were left alone."""
    ignored_folders: int = 0
    """Sub-folders that were not looked into."""

    def count(self, status: Status) -> int:
        """How many pictures are in a state."""
        return Counter(outcome.status for outcome in self.outcomes)[status]

    @property
    def seconds(self) -> float:
        """Wall-clock time spent on all pictures."""
        return sum(outcome.seconds for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0, or 1 where an input failed."""
        return 1 if self.count(Status.FAILED) else 0

    def document(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {
            "command": self.command,
            "version": __version__,
            "results": [
                {
                    "input": outcome.job.source_place,
                    "output": outcome.job.target_place,
                    "status": outcome.status.value,
                    "reason": outcome.reason,
                    "error": outcome.error,
                    "seconds": round(outcome.seconds, 3),
                    "record": None if outcome.record is None else dict(outcome.record),
                    "advice": list(outcome.advice),
                    "notes": list(outcome.notes),
                }
                for outcome in self.outcomes
            ],
            "ignored": [{"input": str(one.path), "reason": one.reason} for one in self.ignored],
            "summary": {
                **{status.value: self.count(status) for status in Status if status is not Status.RUNNING},
                "ignored": len(self.ignored),
                "seconds": round(self.seconds, 3),
            },
        }


def report_of(plan: Plan, outcomes: Iterable[Outcome], *, command: str, is_dry: bool = False) -> RunReport:
    """Put together what a plan settled and what the run made of the rest.

    Args:
        plan: All work.
        outcomes: Of its jobs; jobs without one were cancelled.
        command: What was run.
        is_dry: Whether nothing was to be done, so that jobs without an outcome are planned ones.
    """
    ended = {outcome.job: outcome for outcome in (*plan.settled, *outcomes)}
    rest = Status.PLANNED if is_dry else Status.CANCELLED
    for job in plan.jobs:
        ended.setdefault(job, Outcome(job=job, status=rest))
    return RunReport(
        command=command,
        outcomes=tuple(sorted(ended.values(), key=lambda outcome: outcome.job.name)),
        ignored=plan.ignored,
        ignored_folders=plan.ignored_folders,
    )
